--[[
take: lets calls of users in, or not, for one or more partitions. All limits of a call are looked at, and what is used
of them changes, in one step: a call that is not let in uses nothing.

KEYS    partition: limits
        item: counts
ARGV    head: partitions
        partition: items
        item: terms group
RETURN  item: outcome
INCLUDE weigh

KEYS has all partitions, then all items; ARGV has the head, all partitions, then all items; items stand in the order of
their partitions.

limits   the limits that were set for users, a hash: they hold in place of those in `terms`
counts   of a user, a hash (see `weigh`)
terms    '<mode> <cost> <limits>': mode 'take', or 'peek' to change nothing; how many calls this one counts for; the
         calls per minute, hour and day, and the burst
group    the endpoint, or the name under which several count together. A user's endpoints after the first 100 count
         together under '*'

outcome  verdict, window, used, limit, ms (see `weigh`: a table of these), and the limits that were set for the user, if
         there are any; or an error
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local partitions = tonumber(ARGV[1])
local reply, key_at, arg_at = {}, partitions, 1 + partitions

local terms_of = {}
local function take(key, terms, group, limits_there)
  local asked = terms_of[terms]
  if not asked then
    local mode, cost, words = match(terms, '^(%l+) (%d+) (.+)$')
    asked = {mode == 'take', cost + 0, words}
    terms_of[terms] = asked
  end
  local takes, cost = asked[1], asked[2]
  local names = fields(group)
  local values = redis.pcall('HMGET', key, names[1], names[2], names[3], names[4])
  if values.err then
    return values
  end
  local own = own_limits(limits_there, key)
  local words = own or asked[3]
  if is_one_too_many(key, values) then
    make_room(key, now)
    if is_one_too_many(key, values) then
      names = fields('*')
      values = redis.call('HMGET', key, unpack(names))
    end
  end
  local held = remembered(values[1], now, cost, words)
  if held then
    held[6] = own
    return held
  end
  values[1] = without_refusal(values[1])
  local allowed = limits(words)
  local tallies = tallies_at(values, now, allowed[1])
  local verdict = {weigh(tallies, now, allowed, cost)}
  if takes then
    local calls = tallies[1]
    if verdict[1] == 1 then
      for at = 3, 8 do
        calls[at] = calls[at] + cost
      end
      calls[2] = calls[2] + cost * CALL
      redis.call('HSET', key, names[1], text_of(calls))
      if calls[8] == cost then
        redis.call('PEXPIREAT', key, expiry(now))
      end
    elseif verdict[1] == 0 and not (tallies[3] and tallies[3][7] > 0) then
      redis.call('HSET', key, names[1], refusal(now, verdict, cost, words) .. text_of(calls))
    end
  end
  verdict[6] = own
  return verdict
end

for partition = 1, partitions do
  local limits_key = KEYS[partition]
  local there = redis.call('EXISTS', limits_key) == 1 and limits_key
  for _ = 1, tonumber(ARGV[1 + partition]) do
    key_at, arg_at = key_at + 1, arg_at + 2
    reply[key_at - partitions] = guarded(take, KEYS[key_at], ARGV[arg_at - 1], ARGV[arg_at], there)
  end
end
return reply
