-- Writes which devices an instance holds; of entries that another has now, none is touched.
-- KEYS: registry, connected since, runs. ARGV: instance id, run id, then operation, IMEI, epoch ms.
local registry, since, runs = KEYS[1], KEYS[2], KEYS[3]
local instance, run = ARGV[1], ARGV[2]
local current = redis.call('HGET', runs, instance)
if not current then
  redis.call('HSET', runs, instance, run)
elseif current ~= run then
  return 0
end
for i = 3, #ARGV, 3 do
  local operation, imei, ms = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if operation == 'set' then
    redis.call('HSET', registry, imei, instance)
    redis.call('HSET', since, imei, ms)
  elseif operation == 'restore' then
    if not redis.call('HGET', registry, imei) then
      redis.call('HSET', registry, imei, instance)
      redis.call('HSET', since, imei, ms)
    end
  elseif redis.call('HGET', registry, imei) == instance then
    redis.call('HDEL', registry, imei)
    redis.call('HDEL', since, imei)
  end
end
return 1
