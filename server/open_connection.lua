-- A device has a new connection: what comes on an older one from now on is stale.
-- KEYS: hash of each device's last digests. ARGV: device id, day, connection (8 bytes).
local value = redis.call('HGET', KEYS[1], ARGV[1]) or ''
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ARGV[3] .. string.sub(value, 13))
return 0
