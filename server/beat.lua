-- Says that an instance lives, unless another process has its id now.
-- KEYS: the heartbeat. ARGV: run id, JSON, seconds it is good for.
local current = redis.call('GET', KEYS[1])
if current then
  local ok, value = pcall(cjson.decode, current)
  if ok and type(value) == 'table' and value.run_id and value.run_id ~= ARGV[1] then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
