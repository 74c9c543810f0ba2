--[[
decided: writes down what was decided about the first commands of a partition: events, replies, refusals, what is
parked; and takes these commands away. All of it is one step.

KEYS    head: log deadlines mark commands card replies refused refused_at parked
        append: interrupt
ARGV    head: owner lease lease_ms confirm first tell replies_max refused_max refused_s parked_max
        command: stream_id id outcome body remember park terms ttl_ms event
RETURN  done now sequence offset why
INCLUDE clock
INCLUDE put

owner     who has decided this, and the number of the lease under which it was (after a failover a number may come
lease     twice)
confirm   '1': write the partition's mark, as `append` does
first     the command that was the first when this was decided
tell      '1': write the replies, park what is to be parked, and take the commands away; '': only append and remember,
          as nobody may hear of it before it is durable
stream_id  of the command
id        the producer's own; '': there is no reply
body      of the reply, as JSON; if something is appended and the outcome is 'done', it is ended here: with the stream
          id of the event, a quotation mark and a brace
remember  under which name the reply is remembered, for commands that are sent again; '': it is not
park      why, and what the command was; '': nothing is parked
terms, ttl_ms, event  what is appended (see `put`); terms '': nothing. For each that is not '', KEYS has an interrupt

done      how many were written down, from the first on; nil: none, as somebody else has the lease or the commands are
          gone. At the first event that is not appended it ends, so the order of commands is kept
sequence  of the last event that was appended; its stream id is <now>-<sequence + offset>
why       it ended before the last command: 'moved' (an interrupt is not as it was), or the server's refusal; or ''
]]
local log, deadlines, commands, card = KEYS[1], KEYS[2], KEYS[4], KEYS[5]
local replies, refused, refused_at, parked = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local tell, replies_max, refused_max, refused_s, parked_max = ARGV[6] == '1', ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local HEAD_KEYS, HEAD_ARGS, COMMAND_ARGS, FORGET_MAX = 9, 10, 9, 500

local leased = redis.call('HMGET', card, 'owner', 'lease')
local waiting = redis.call('XRANGE', commands, '-', '+', 'COUNT', 1)[1]
if leased[1] ~= ARGV[1] or leased[2] ~= ARGV[2] or not waiting or waiting[1] ~= ARGV[5] then
  return {false, 0, 0, 0, ''}
end
local now, last_ms, last_number, sequence, broken = clock(log)
if not broken and type(redis.pcall('ZCARD', deadlines)) == 'table' then
  broken = 'WRONGTYPE the deadlines are no sorted set'
end
if broken then
  return {0, now, 0, 0, broken}
end
local offset = (last_ms < now and -1 or last_number) - sequence
local key_at, done, remembered, written, why, last = HEAD_KEYS, 0, false, false, '', nil
if ARGV[4] == '1' then
  redis.call('SET', KEYS[3], now)
  written = true
end

for at = HEAD_ARGS, #ARGV - 1, COMMAND_ARGS do
  local outcome, body, remember, park = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local terms, ttl_ms, event = ARGV[at + 7], ARGV[at + 8], ARGV[at + 9]
  if terms ~= '' then
    key_at = key_at + 1
    local number = sequence + 1
    local stream_id = now .. '-' .. (number + offset)
    local result, appended, fatal = put(now, stream_id, number, log, deadlines, KEYS[key_at], terms, ttl_ms,
      event, written)
    if fatal and not written then
      return result
    elseif not appended then
      why = type(result) == 'table' and result.err or 'moved'
      break
    end
    sequence = number
    if outcome == 'done' then
      body = body .. stream_id .. '"}'
    end
  end
  written = true
  if remember ~= '' then
    redis.call('HSET', refused, remember, body)
    redis.call('ZADD', refused_at, now, remember)
    remembered = true
  end
  if tell then
    if ARGV[at + 2] ~= '' then
      redis.call('XADD', replies, 'MAXLEN', '~', replies_max, '*', 'id', ARGV[at + 2], 'outcome', outcome, 'body', body)
    end
    if park ~= '' then
      redis.call('XADD', parked, 'MAXLEN', parked_max, '*', 'p', park)
    end
  end
  done, last = done + 1, ARGV[at + 1]
end

if remembered then
  local surplus = math.min(FORGET_MAX, redis.call('ZCARD', refused_at) - refused_max)
  local old = redis.call('ZRANGEBYSCORE', refused_at, '-inf', now - refused_s * 1000, 'LIMIT', 0, FORGET_MAX)
  if #old < surplus then
    old = redis.call('ZRANGE', refused_at, 0, surplus - 1)
  end
  if #old > 0 then
    redis.call('HDEL', refused, unpack(old))
    redis.call('ZREM', refused_at, unpack(old))
  end
  redis.call('EXPIRE', refused, refused_s)
  redis.call('EXPIRE', refused_at, refused_s)
end
if tell and last then
  local next = redis.call('XRANGE', commands, '(' .. last, '+', 'COUNT', 1)[1]
  if next then
    redis.call('XTRIM', commands, 'MINID', next[1])
  else
    redis.call('XTRIM', commands, 'MAXLEN', 0)
  end
end
local time = redis.call('TIME')
redis.call('HSET', card, 'until', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]))
return {done, now, sequence, offset, why}
