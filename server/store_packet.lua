-- Adds those records of one packet to the stream that are not among the device's last ones; all of
-- it, or nothing. Redis runs a script, and logs it to the AOF, as one step; it refuses for want of
-- memory, or for a key of another type, before the first write or not at all.
-- KEYS: stream, hash of each device's last digests.
-- ARGV: maxlen (0: never trim), device id, codec, day, the records' digests (8 bytes each, in one
-- string), how many digests to keep behind those of this packet, the connection (8 bytes), then ts
-- and payload of each record.
-- A device's value in the hash: day (4 bytes), connection (8), then digests, the newest packet's
-- first. Answers how many records were new; -1 if the device has a newer connection: what comes on
-- the older one late was sent again on the newer one, and may have been forgotten since.
local stream, hash = KEYS[1], KEYS[2]
local maxlen, device, codec, day, digests = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local connection = ARGV[7]

local value = redis.call('HGET', hash, device) or ''
if #value >= 12 and string.sub(value, 5, 12) ~= connection then
  return -1
end
local known = string.sub(value, 13)

local function is_known(digest)
  local at = string.find(known, digest, 1, true)
  while at and at % 8 ~= 1 do  -- a match that lies across two digests is none
    at = string.find(known, digest, at + 1, true)
  end
  return at
end

local new = {}
for i = 1, #digests, 8 do
  if not is_known(string.sub(digests, i, i + 7)) then
    new[#new + 1] = 8 + (i - 1) / 4  -- where the record's ts stands in ARGV
  end
end
if #new == 0 then
  -- written again as it is: whoever waits for this connection's writes to be on disk, or in a
  -- replica, waits for what was written before it, too
  if #digests > 0 then
    redis.call('HSET', hash, device, day .. connection .. known)
  end
  return 0
end

for _, at in ipairs(new) do
  if maxlen == '0' then
    redis.call('XADD', stream, '*',
      'ts', ARGV[at], 'device_id', device, 'codec', codec, 'payload', ARGV[at + 1])
  else
    redis.call('XADD', stream, 'MAXLEN', '~', maxlen, '*',
      'ts', ARGV[at], 'device_id', device, 'codec', codec, 'payload', ARGV[at + 1])
  end
end
redis.call('HSET', hash, device, day .. connection .. digests .. string.sub(known, 1, 8 * ARGV[6]))
return #new
