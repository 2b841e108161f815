-- Forgets the digests of devices whose last new record is older than a day, if it still is.
-- KEYS: hash of each device's last digests. ARGV: the first day to keep (a number), then IMEIs.
-- Answers how many were forgotten.
local hash, first = KEYS[1], tonumber(ARGV[1])
local forgotten = 0
for i = 2, #ARGV do
  local value = redis.call('HGET', hash, ARGV[i])
  if value and (#value < 4 or struct.unpack('>I4', value) < first) then
    redis.call('HDEL', hash, ARGV[i])
    forgotten = forgotten + 1
  end
end
return forgotten
