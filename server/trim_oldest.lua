-- Takes the oldest entries from a stream until so many bytes of memory are free, and at most STEPS
-- times a few entries, so that nobody waits for long. Entries are not read: how much each step has
-- freed is what the memory in use has shrunk by, for nobody else has a turn meanwhile. XTRIM and
-- INFO are not refused for want of memory.
-- KEYS: the stream. ARGV: bytes. Answers how many entries went, and how many bytes that freed.
local STEPS, MOST = 64, 128
local stream, wanted = KEYS[1], tonumber(ARGV[1])

local function used()
  return tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))
end

local length = redis.call('XLEN', stream)
local before = used()
local removed, freed, count = 0, 0, 8
for _ = 1, STEPS do
  if length <= 1 or freed >= wanted then
    break
  end
  -- whole nodes only: where none goes the next step asks for more
  local went = redis.call('XTRIM', stream, 'MAXLEN', '~', math.max(1, length - count))
  local step = before - freed - used()
  removed, length, freed = removed + went, length - went, freed + step
  if step * 8 > wanted - freed then
    count = math.max(8, count / 2)
  else
    count = math.min(MOST, count * 2)
  end
end
return {removed, freed}
