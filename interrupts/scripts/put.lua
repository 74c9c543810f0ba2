--[[
put: one event, appended if its terms hold, all of it or nothing. Included by the scripts that append.

RETURN  outcome appended fatal

terms     'new': there must be no such interrupt; 'new <until>': nor may it be later than that by the server's clock, in
          milliseconds (it was let in by a rate limit, see `reserve`); 'once <ms>': `interrupt` is no interrupt but the
          memory of this event, which is appended if it is not remembered, and then is for so long; else
          '<expected> <guard> <status>':
          expected  the version decided on
          guard     open: its deadline must not have passed; due: it must have; any: no matter
          status    the status after this event, in one letter: p r c x
ttl_ms    the deadline to enforce, from now; '': none
event     JSON, appended as it is
number    its sequence number, if it is appended
written   whether the script has written anything before

outcome   a number: appended, with this sequence number
          a text: refused, and this is what the interrupt's key holds; nil: refused, there is no such interrupt. Of what
          is remembered it is the stream id
          an error: refused by the server (LATE: by its terms), nothing of this event was written
appended  whether it was
fatal     whether the refusal is one of all writes, as memory is full or a replica is asked: nothing was written at all
]]
-- Whether an interrupt comes too late to be made. One that is there is not too late.
local function is_late(terms, interrupt)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  return now > tonumber(string.sub(terms, 5)) and redis.call('EXISTS', interrupt) == 0
end

local function put(now, stream_id, number, log, deadlines, interrupt, terms, ttl_ms, event, written)
  local call, pcall, sub, match = redis.call, redis.pcall, string.sub, string.match
  local ID_LENGTH = -32
  local deadline = ttl_ms == '' and '' or now + ttl_ms
  if sub(terms, 1, 4) == 'new ' and is_late(terms, interrupt) then
    return redis.error_reply('LATE ' .. terms), false
  elseif sub(terms, 1, 3) == 'new' then
    local set = pcall('SET', interrupt, '1p' .. deadline .. '\n' .. stream_id .. ' ' .. event .. '\n', 'NX')
    if not set then
      return pcall('GET', interrupt), false
    elseif set.err then
      return set, false, true
    end
    local added = pcall('XADD', log, stream_id, 's', number, 'e', event)
    if type(added) == 'table' then
      call('DEL', interrupt)
      return added, false
    end
    if deadline ~= '' then
      call('ZADD', deadlines, deadline, sub(interrupt, ID_LENGTH))
    end
    return number, true
  elseif sub(terms, 1, 5) == 'once ' then
    local set = pcall('SET', interrupt, stream_id, 'NX', 'PX', sub(terms, 6))
    if not set then
      return pcall('GET', interrupt), false
    elseif set.err then
      return set, false, true
    end
    local added = pcall('XADD', log, stream_id, 's', number, 'e', event)
    if type(added) == 'table' then
      call('DEL', interrupt)
      return added, false
    end
    return number, true
  end
  local there = pcall('GET', interrupt)
  if type(there) ~= 'string' then
    return there, false
  end
  local expected, guard, status = match(terms, '^(%d+) (%l+) (%l)$')
  local version, had_deadline, lines = match(there, '^(%d+)%l(%d*)\n(.*)$')
  local due = version and had_deadline ~= '' and tonumber(had_deadline) <= now
  if version ~= expected or (guard ~= 'any' and (guard == 'due') ~= due) then
    return there, false
  end
  local added = pcall('XADD', log, stream_id, 's', number, 'e', event)
  if type(added) == 'table' then
    return added, false, not written
  end
  call('SET', interrupt, (version + 1) .. status .. deadline .. '\n' .. lines .. stream_id .. ' ' .. event .. '\n')
  if deadline ~= '' then
    call('ZADD', deadlines, deadline, sub(interrupt, ID_LENGTH))
  elseif had_deadline ~= '' then
    call('ZREM', deadlines, sub(interrupt, ID_LENGTH))
  end
  return number, true
end
