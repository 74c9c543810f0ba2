--[[
count: counts creations from the log of one source partition, in the partitions of their users, each exactly once: up to
where a source is counted is kept beside the counts, and moves in the same step. What was reserved for a creation counts
no more.

KEYS    target: counted
        item: counts reserved
ARGV    head: source targets
        target: items before upto
        item: interrupt groups ms number
RETURN  target: outcome damaged
INCLUDE rings

KEYS has all targets, then all items; ARGV has the head, all targets, then all items; items stand in the order of their
targets, and in each in the order of the log.

counted    up to where each source is counted, a hash of '<ms> <number>'
before     where the one that counts must have come to before this; '': wherever it is
upto       where it is after it
groups     that the creation counts in, one a line
outcome    '': done, now or before; else nothing was done, as the source is only counted up to here: this partition was
           rolled back
damaged    the keys of counts that can't be read: what was to be counted there is left out, until they are mended
What else can refuse a write (memory full, disk failing, a replica) refuses a script's first one, and is then the reply
to all, of which nothing is written.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local targets = tonumber(ARGV[2])

local function count(counts, reserved, interrupt, groups, ms)
  local at, found = redis.call('ZSCORE', reserved, interrupt), {}
  for group in string.gmatch(groups, '[^\n]+') do
    local values = redis.call('HMGET', counts, '+' .. group, '?' .. group, '-' .. group, '-')
    local created, waiting, forgiven_until, forgiven
    if ms > now - DAY_MS then
      created = parse(values[1])
      add(created, now, ms, 1, true)
      if values[3] or values[4] then
        local tally
        forgiven_until, tally = match(values[3] or '0 ' .. NOTHING, '^(%d+) (.*)$')
        forgiven_until = max(forgiven_until + 0, (values[4] or 0) + 0)
        if ms <= forgiven_until then
          forgiven = parse(tally)
          add(forgiven, now, ms, 1)
        end
      end
    end
    if at and values[2] then
      waiting = parse(values[2])
      add(waiting, now, at + 0, -1)
    end
    found[#found + 1] = {group, created, waiting, forgiven_until, forgiven}
  end
  -- From here on nothing fails but the first write, if the server takes none.
  for _, of in ipairs(found) do
    local group, created, waiting, forgiven_until, forgiven = of[1], of[2], of[3], of[4], of[5]
    if created then
      redis.call('HSET', counts, '+' .. group, text_of(created))
      if created[8] == 1 then
        redis.call('PEXPIREAT', counts, expiry(max(ms, now)))
      end
    end
    if forgiven then
      redis.call('HSET', counts, '-' .. group, forgiven_until .. ' ' .. text_of(forgiven))
    end
    if waiting then
      keep_reserved(counts, group, waiting)
    end
  end
  if at then
    redis.call('ZREM', reserved, interrupt)
  end
  return true
end

local reply, key_at, arg_at, written = {}, targets, 2 + 3 * targets, false
for target = 1, targets do
  local a = 2 + 3 * (target - 1)
  local items, before, upto = tonumber(ARGV[a + 1]), ARGV[a + 2], ARGV[a + 3]
  local mark = redis.call('HGET', KEYS[target], ARGV[1])
  local damaged = {}
  reply[2 * target - 1], reply[2 * target] = '', damaged
  if before ~= '' and is_after(match(before, '(%d+) '), match(before, ' (%d+)'), mark or '0 0') then
    reply[2 * target - 1] = mark or '0 0'
    key_at, arg_at = key_at + 2 * items, arg_at + 4 * items
  else
    for _ = 1, items do
      local ms, number = ARGV[arg_at + 3], ARGV[arg_at + 4]
      if not mark or is_after(ms, number, mark) then
        local counts = KEYS[key_at + 1]
        local done = guarded(count, counts, KEYS[key_at + 2], ARGV[arg_at + 1], ARGV[arg_at + 2], ms + 0)
        if done == true then
          written = true
        elseif written or match(done.err, '^WRONGTYPE') or match(done.err, '^DAMAGED') then
          damaged[#damaged + 1] = counts
        else
          return done
        end
      end
      key_at, arg_at = key_at + 2, arg_at + 4
    end
    if not mark or is_after(match(upto, '(%d+) '), match(upto, ' (%d+)'), mark) then
      redis.call('HSET', KEYS[target], ARGV[1], upto)
    end
  end
end
return reply
