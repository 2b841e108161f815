-- One step of a command's life; its state and the entry that tells of it change together, or not.
-- Every step may be asked for again, after a lost answer, and is done once. It writes then, too:
-- whoever waits for replicas to have this connection's writes waits for what was written before it.
-- KEYS: responses stream, the command's hash (state, entry, owner).
-- ARGV: step, entry (where the command stands), owner (a run id), maxlen, then the fields of the
-- status entry. Nothing is forgotten before the entry is let go of: see `CommandLedger`.
-- States: queued (surely not written), writing (may have been written), delivered, ended.
local responses, command = KEYS[1], KEYS[2]
local step, entry, owner, maxlen = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local kept = redis.call('HMGET', command, 'state', 'entry', 'owner')
local state, kept_entry, kept_owner = kept[1], kept[2], kept[3]

local function become(new_state)
  redis.call('HSET', command, 'state', new_state, 'entry', entry, 'owner', owner)
end

local function stay()
  redis.call('HSET', command, 'state', state)
end

local function tell()
  if maxlen == '0' then
    redis.call('XADD', responses, '*', unpack(ARGV, 5))
  else
    redis.call('XADD', responses, 'MAXLEN', '~', maxlen, '*', unpack(ARGV, 5))
  end
end

if step == 'claim' then
  -- whoever claims owns it from now on; answers the state it was found in
  if not state then
    become('queued')
    return 'queued'
  end
  if kept_entry ~= entry then
    return 'duplicate'
  end
  if state == 'ended' then
    stay()
  else
    become(state)
  end
  return state
end

-- no state: Redis lost it; whoever asks knows how far the command is
if state and (kept_entry ~= entry or (kept_owner ~= owner and state ~= 'ended')) then
  return 'not ours'
end

if step == 'write' then
  if state and state ~= 'queued' and state ~= 'writing' then
    return 'not ours'
  end
  become('writing')
elseif step == 'delivered' then
  if not state or state == 'writing' then
    tell()
    become('delivered')
  else
    stay()
  end
elseif step == 'end' then
  if state ~= 'ended' then
    tell()
    become('ended')
  else
    stay()
  end
end
return 'done'
