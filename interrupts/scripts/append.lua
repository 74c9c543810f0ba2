--[[
append: compare and append a batch of events, for one or more partitions. It decides nothing: an item names the version
it was decided on and what must be true of the deadline, and is refused with what is there if that no longer holds.

KEYS    partition: log deadlines mark
        item: interrupt
ARGV    head: partitions mark
        partition: items
        item: terms ttl_ms event
RETURN  partition: now offset
        item: outcome
INCLUDE clock

KEYS has all partitions, then all items; ARGV has the head, all partitions, then all items; items stand in the order of
their partitions, and RETURN has a partition and its items, then the next one.

mark     '1': write the partition's mark, so that WAIT and WAITAOF on this connection cover what an earlier attempt on
         another connection has written
terms    'new': there must be no such interrupt; 'new <until>': nor may it be later than that by the server's clock, in
         milliseconds (it was let in by a rate limit, see `reserve`); else '<expected> <guard> <status>':
         expected  the version decided on
         guard     open: its deadline must not have passed; due: it must have; any: no matter
         status    the status after this event, in one letter: p r c x
ttl_ms   the deadline to enforce, from now; '': none
event    JSON, appended as it is

outcome  a number: appended, with this sequence number, at the stream id <now>-<sequence + offset>
         a text: refused, and this is what the interrupt's key holds; nil: refused, there is no such interrupt
         an error: refused by the server (LATE: by its terms), nothing of this item was written
Each item is all or nothing: the event, the interrupt's key and its deadline. The types of the keys are looked at before
anything is written. What else can refuse a write (memory full, disk failing, a replica) refuses a script's first one,
and is then the reply to all of the batch, of which nothing is written.
]]
local partitions, mark = tonumber(ARGV[1]), ARGV[2] == '1'
local call, pcall, sub, match = redis.call, redis.pcall, string.sub, string.match
local ID_LENGTH = -32
local key_at, arg_at = 3 * partitions, 2 + partitions
local reply, r, written = {}, 0, false

-- Whether an interrupt comes too late to be made. One that is there is not too late.
local function is_late(terms, interrupt)
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(sub(terms, 5)) and call('EXISTS', interrupt) == 0
end

for partition = 1, partitions do
  local log, deadlines = KEYS[3 * partition - 2], KEYS[3 * partition - 1]
  local now, last_ms, last_number, sequence, broken = clock(log)
  if not broken and type(pcall('ZCARD', deadlines)) == 'table' then
    broken = 'WRONGTYPE the deadlines are no sorted set'
  end
  local offset = (last_ms < now and -1 or last_number) - sequence
  if mark then
    local marked = pcall('SET', KEYS[3 * partition], now)
    if marked.err then
      return marked
    end
    written = true
  end
  reply[r + 1], reply[r + 2] = now, offset
  r = r + 2

  for _ = 1, tonumber(ARGV[2 + partition]) do
    key_at, arg_at, r = key_at + 1, arg_at + 3, r + 1
    local interrupt, terms, ttl_ms, event = KEYS[key_at], ARGV[arg_at - 2], ARGV[arg_at - 1], ARGV[arg_at]
    local next_sequence = sequence + 1
    local stream_id = now .. '-' .. (next_sequence + offset)
    local deadline = ttl_ms == '' and '' or now + ttl_ms

    if broken then
      reply[r] = redis.error_reply(broken)
    elseif sub(terms, 1, 4) == 'new ' and is_late(terms, interrupt) then
      reply[r] = redis.error_reply('LATE ' .. terms)
    elseif sub(terms, 1, 3) == 'new' then
      local set = pcall('SET', interrupt,
        '1p' .. deadline .. '\n' .. stream_id .. ' ' .. event .. '\n', 'NX')
      if not set then
        reply[r] = pcall('GET', interrupt)
      elseif set.err then
        return set
      else
        written = true
        local added = pcall('XADD', log, stream_id, 's', next_sequence, 'e', event)
        if type(added) == 'table' then
          call('DEL', interrupt)
          reply[r] = added
        else
          if deadline ~= '' then
            call('ZADD', deadlines, deadline, sub(interrupt, ID_LENGTH))
          end
          sequence, reply[r] = next_sequence, next_sequence
        end
      end
    else
      local there = pcall('GET', interrupt)
      reply[r] = there
      if type(there) == 'string' then
        local expected, guard, status = match(terms, '^(%d+) (%l+) (%l)$')
        local version, had_deadline, lines = match(there, '^(%d+)%l(%d*)\n(.*)$')
        local due = version and had_deadline ~= '' and tonumber(had_deadline) <= now
        if version == expected and (guard == 'any' or (guard == 'due') == due) then
          local added = pcall('XADD', log, stream_id, 's', next_sequence, 'e', event)
          if type(added) == 'table' then
            if not written then
              return added
            end
            reply[r] = added
          else
            written = true
            call('SET', interrupt, (version + 1) .. status .. deadline .. '\n' .. lines
              .. stream_id .. ' ' .. event .. '\n')
            if deadline ~= '' then
              call('ZADD', deadlines, deadline, sub(interrupt, ID_LENGTH))
            elseif had_deadline ~= '' then
              call('ZREM', deadlines, sub(interrupt, ID_LENGTH))
            end
            sequence, reply[r] = next_sequence, next_sequence
          end
        end
      end
    end
  end
end
return reply
