-- The instance stops: its heartbeat goes, unless another process has its id now.
-- KEYS: the heartbeat. ARGV: run id.
local current = redis.call('GET', KEYS[1])
if current then
  local ok, value = pcall(cjson.decode, current)
  if ok and type(value) == 'table' and value.run_id == ARGV[1] then
    return redis.call('DEL', KEYS[1])
  end
end
return 0
