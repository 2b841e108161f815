-- A device has a new connection: what comes on an older one from now on is stale.
-- KEYS: hash of each device's last digests. ARGV: device id, day, connection (8 bytes).
-- Asked for again, after a lost reply, it changes nothing of what came meanwhile.
local value = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if string.sub(value, 5, 12) ~= ARGV[3] then
  value = ARGV[2] .. ARGV[3] .. struct.pack('>I8', 0) .. string.sub(value, 21)
end
redis.call('HSET', KEYS[1], ARGV[1], value)
return 0
