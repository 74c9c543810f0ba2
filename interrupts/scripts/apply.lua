--[[
apply: changes of views, each together with the checkpoint that it leads to.

KEYS    view: log card
        change: key...
ARGV    head: views
        view: generation from to whole stopped changes keys length
        change: command keys count arguments...
RETURN  view: outcome
INCLUDE known

KEYS has all views, then all changes; ARGV has the head, all views, then all changes; changes stand in the order of
their views.

from, to   the checkpoint that the changes were made after, and the one that they lead to
whole      by whom the generation was brought to the end of the log: it takes over, if its checkpoint is not behind the
           live one's, and the live one is marked to be thrown away with this word; '': it does not
stopped    why nothing can be folded after `to`, as JSON; '': it can
keys, length   how many keys and arguments the changes of a view have in all
command    of Redis, on sorted sets or hashes, with the same arguments for each of its keys. HINCRBY is the only one
           that would not stand a repetition

outcome    1: done, and the generation is live; 0: done, and it is not
           a text: refused, the checkpoint is this one ('': the generation is gone)
           an error: refused; nothing is lost. ROLLEDBACK: the log is not the one that was folded
For each view it is all or nothing, as far as anybody can see: should one change fail, for a key that was not written by
us, the checkpoint stays and all is repeated. What would not stand that is done last, when nothing can fail any more.
]]
local COUNT_MAX = 2 ^ 53
local views = tonumber(ARGV[1])
local key_at, arg_at = 2 * views + 1, 2 + 8 * views
local outcomes = {}

local function sequence_of(checkpoint)
  return tonumber(string.match(checkpoint, '^%S+ (%d+) '))
end

-- Applies the changes of one view that begin at these places in KEYS and ARGV; returns what failed.
local function change(changes, key, arg)
  local counted = {}
  for _ = 1, changes do
    local command, keys, count = ARGV[arg], tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
    arg = arg + 3
    for _ = 1, keys do
      if command == 'HINCRBY' then
        local number = redis.pcall('HGET', KEYS[key], ARGV[arg])
        if type(number) == 'table' then
          return number
        elseif number and not string.match(number, '^-?%d+$') then
          return redis.error_reply('WRONGTYPE ' .. ARGV[arg] .. ' of ' .. KEYS[key] .. ' is no number')
        elseif math.abs((tonumber(number) or 0) + tonumber(ARGV[arg + 1])) > COUNT_MAX then
          return redis.error_reply('OVERFLOW ' .. ARGV[arg] .. ' of ' .. KEYS[key] .. ' would be too large')
        end
        counted[#counted + 1] = {KEYS[key], ARGV[arg], ARGV[arg + 1]}
      else
        local done = redis.pcall(command, KEYS[key], unpack(ARGV, arg, arg + count - 1))
        if type(done) == 'table' and done.err then
          return done
        end
      end
      key = key + 1
    end
    arg = arg + count
  end
  for _, count in ipairs(counted) do
    redis.call('HINCRBY', count[1], count[2], count[3])
  end
end

local function apply(log, card, at, key, arg)
  local generation, from, to, whole, stopped = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local there = redis.call('HGET', card, generation .. ':at')
  if there ~= from then
    return there or ''
  elseif known(log, from) == 0 then
    return redis.error_reply('ROLLEDBACK ' .. from)
  end
  local failed = change(tonumber(ARGV[at + 5]), key, arg)
  if failed then
    return failed
  end
  if to ~= from then
    redis.call('HSET', card, generation .. ':at', to)
  end
  if stopped ~= '' then
    redis.call('HSET', card, generation .. ':stopped', stopped)
  else
    redis.call('HDEL', card, generation .. ':stopped')
  end
  local is_live = redis.call('HGET', card, 'live')
  if is_live == generation then
    return 1
  elseif whole == '' then
    return 0
  elseif is_live then
    -- A live view whose log was rolled back is ahead of nothing.
    local live_at = redis.call('HGET', card, is_live .. ':at')
    if known(log, live_at) == 1 and sequence_of(live_at) > sequence_of(to) then
      return 0
    end
    redis.call('HSET', card, 'drop:' .. is_live, whole)
    redis.call('HDEL', card, is_live .. ':at', is_live .. ':version', is_live .. ':stopped')
  end
  redis.call('HSET', card, 'live', generation)
  return 1
end

for view = 1, views do
  local at = 2 + 8 * (view - 1)
  outcomes[view] = apply(KEYS[2 * view - 1], KEYS[2 * view], at, key_at, arg_at)
  key_at, arg_at = key_at + ARGV[at + 6], arg_at + ARGV[at + 7]
end
return outcomes
