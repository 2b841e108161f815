-- Measures what the entries of a stream take, and removes the oldest ones if that is too much: at
-- most an eighth of them, or STEPS times a few, so that nobody waits for long. Each
-- call measures anew, so two at once remove no more than one.
-- What groups have pending is not counted: it stays when entries go. MEMORY USAGE includes it, and
-- does not say how much it is.
-- How much each step has freed is what the memory in use has shrunk by, for nobody else has a turn
-- meanwhile. XTRIM and INFO are not refused for want of memory.
-- KEYS: the stream. ARGV: the bytes that its entries may take; those to which they are brought if
-- they take more; the bytes that a pending entry takes at most.
-- Answers the bytes they take now, how many went, and how many bytes that freed; how many entries
-- the group with the most has pending, its name, and the bytes that were not counted.
local STEPS, MOST = 64, 128
local stream, most, wanted = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local pending_bytes = tonumber(ARGV[3])

local function used()
  return tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))
end

local length = redis.call('XLEN', stream)
if length == 0 then
  return {0, 0, 0, 0, '', 0}
end
local pending, largest, largest_name = 0, 0, ''
for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local field = {}
  for i = 1, #group, 2 do
    field[group[i]] = group[i + 1]
  end
  pending = pending + field.pending
  if field.pending > largest then
    largest, largest_name = field.pending, field.name
  end
end
-- not a sample: those are of the oldest entries, and it is the newest that can be large
local size = redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', 0) - pending * pending_bytes
local excess = size > most and size - wanted or 0
local before = excess > 0 and used()
local largest_step = math.max(MOST, math.floor(length / (8 * STEPS)))
local removed, freed, count = 0, 0, 8
for _ = 1, STEPS do
  if length <= 1 or freed >= excess then
    break
  end
  -- whole nodes only: where none goes the next step asks for more
  local went = redis.call('XTRIM', stream, 'MAXLEN', '~', math.max(1, length - count))
  local step = before - freed - used()
  removed, length, freed = removed + went, length - went, freed + step
  if step * 8 > excess - freed then
    count = math.max(8, math.floor(count / 2))
  else
    count = math.min(largest_step, count * 2)
  end
end
return {math.max(0, size - freed), removed, freed, largest, largest_name, pending * pending_bytes}
