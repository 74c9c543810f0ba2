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
INCLUDE put

KEYS has all partitions, then all items; ARGV has the head, all partitions, then all items; items stand in the order of
their partitions, and RETURN has a partition and its items, then the next one.

mark     '1': write the partition's mark, so that WAIT and WAITAOF on this connection cover what an earlier attempt on
         another connection has written
terms, ttl_ms and event, and what an outcome is: see `put`; what is appended is at the stream id
         <now>-<its sequence number + offset>

Each item is all or nothing: the event, the interrupt's key and its deadline. The types of the keys are looked at before
anything is written. What else can refuse a write (memory full, disk failing, a replica) refuses a script's first one,
and is then the reply to all of the batch, of which nothing is written.
]]
local partitions, mark = tonumber(ARGV[1]), ARGV[2] == '1'
local pcall = redis.pcall
local key_at, arg_at = 3 * partitions, 2 + partitions
local reply, r, written = {}, 0, false

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
    if broken then
      reply[r] = redis.error_reply(broken)
    else
      local number = sequence + 1
      local outcome, appended, fatal = put(now, now .. '-' .. (number + offset), number, log, deadlines, interrupt, terms,
        ttl_ms, event, written)
      if fatal then
        return outcome
      end
      reply[r] = outcome
      if appended then
        sequence, written = number, true
      end
    end
  end
end
return reply
