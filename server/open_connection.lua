-- A device has a new connection: what comes on an older one from now on is stale.
-- KEYS: hash of each device's last digests. ARGV: device id, connection (8 bytes).
-- Asked for again, after a lost reply, it changes nothing of what came meanwhile.
local value = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if string.sub(value, 5, 12) ~= ARGV[2] then
  local day = struct.pack('>I4', math.floor(redis.call('TIME')[1] / 86400))
  value = day .. ARGV[2] .. struct.pack('>I8', 0) .. string.sub(value, 21)
end
redis.call('HSET', KEYS[1], ARGV[1], value)
return 0
