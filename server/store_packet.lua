-- Adds those records of one packet to the stream that are not among the device's last ones; all of
-- it, or nothing. Redis runs a script, and logs it to the AOF, as one step; it refuses for want of
-- memory, or for a key of another type, before the first write or not at all.
-- KEYS: stream, hash of each device's last digests.
-- ARGV: maxlen (0: never trim), device id, codec, the records' digests (8 bytes each, in one
-- string), how many digests to keep behind those of this packet, the connection (8 bytes; empty for
-- a datagram, which comes on none), then ts and payload of each record, then the packet's number and
-- that of the packet before it on its connection, if that is unconfirmed, else 0.
-- A device's value in the hash: day (4 bytes, by the clock of Redis), connection (8; zeros if there
-- was none), number of its last packet (8), then digests, the newest packet's first.
-- Answers how many records were new; -1 if the device has a newer connection: what comes on the
-- older one late was sent again on the newer one, and may have been forgotten since; -2 if the
-- packet before it is not stored: it was refused, and comes again, and this one behind it.
-- A datagram is known by its digests alone. It leaves connection and number as they are: they say
-- what is late on TCP, where the device may be connected, too, or be said to be by someone else's
-- datagram. Its own number is another count's than that connection's, and is not looked at.
local stream, hash = KEYS[1], KEYS[2]
local maxlen, device, codec, digests = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local kept, connection = ARGV[5], ARGV[6]
local number, before = tonumber(ARGV[#ARGV - 1]), tonumber(ARGV[#ARGV])

local value = redis.call('HGET', hash, device) or ''
local none = string.rep('\0', 8)
local newest = #value >= 12 and string.sub(value, 5, 12) or none
local last = #value >= 20 and struct.unpack('>I8', value, 13) or 0
local known = string.sub(value, 21)
local was_stored = number <= last  -- under its number
if connection == '' then
  connection, number, was_stored = newest, last, false
elseif newest ~= none and newest ~= connection then
  return -1
elseif before > last then
  return -2
end

local function remember(last_number, last_digests)
  local day = struct.pack('>I4', math.floor(redis.call('TIME')[1] / 86400))
  local header = day .. connection .. struct.pack('>I8', last_number)
  redis.call('HSET', hash, device, header .. last_digests)
end

local function is_known(digest)
  local at = string.find(known, digest, 1, true)
  while at and at % 8 ~= 1 do  -- a match that lies across two digests is none
    at = string.find(known, digest, at + 1, true)
  end
  return at
end

local new = {}
for i = 1, was_stored and 0 or #digests, 8 do
  if not is_known(string.sub(digests, i, i + 7)) then
    new[#new + 1] = 7 + (i - 1) / 4  -- where the record's ts stands in ARGV
  end
end
if #new == 0 then
  -- written again as it is: whoever waits for this connection's writes to be on disk, or in a
  -- replica, waits for what was written before it, too
  remember(math.max(number, last), known)
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
remember(number, digests .. string.sub(known, 1, 8 * kept))
return #new
