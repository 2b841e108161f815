-- Removes entries of an instance that is dead, unless it lives again or the device has moved.
-- KEYS: registry, connected since, runs. ARGV: instance id, the dead run ('': none is known),
-- '1' to forget the instance as well, then IMEIs.
local registry, since, runs = KEYS[1], KEYS[2], KEYS[3]
local instance, run = ARGV[1], ARGV[2]
if (redis.call('HGET', runs, instance) or '') ~= run then
  return 0
end
local removed = 0
for i = 4, #ARGV do
  if redis.call('HGET', registry, ARGV[i]) == instance then
    redis.call('HDEL', registry, ARGV[i])
    redis.call('HDEL', since, ARGV[i])
    removed = removed + 1
  end
end
if ARGV[3] == '1' then
  redis.call('HDEL', runs, instance)
end
return removed
