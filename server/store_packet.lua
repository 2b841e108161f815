-- Adds the records of one packet to the stream, all of them or none. Redis runs a script, and
-- logs it to the AOF, as one step; it refuses for want of memory, or for a key of another
-- type, at the first XADD or not at all.
-- KEYS: stream. ARGV: maxlen (0: never trim), device id, codec, then ts and payload of each record.
local stream, maxlen, device, codec = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
for i = 4, #ARGV, 2 do
  if maxlen == '0' then
    redis.call('XADD', stream, '*',
      'ts', ARGV[i], 'device_id', device, 'codec', codec, 'payload', ARGV[i + 1])
  else
    redis.call('XADD', stream, 'MAXLEN', '~', maxlen, '*',
      'ts', ARGV[i], 'device_id', device, 'codec', codec, 'payload', ARGV[i + 1])
  end
end
return (#ARGV - 3) / 2
