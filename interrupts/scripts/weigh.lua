--[[
weigh: whether calls of a user may come now. Included by the scripts that let calls in.

INCLUDE rings

A user's counts are a hash. In it a group of endpoints has up to four tallies (see `rings`), in fields named after it:

    =<group>   the calls that were let in, and the debt of the burst; in front of them may stand a refusal
    +<group>   creations, as counted from the log
    ?<group>   reservations: creations that were let in and are not counted from the log yet
    -<group>   creations of the log that an operator has forgiven: until when, a space, and the tally
    -          until when an operator has forgiven all groups

A reservation counts as if it were made at the last moment at which its creation may be appended, until it is known when
that was.

What is used is the calls, the creations and the reservations, without what is forgiven.

A refusal is remembered, so that the next one costs next to nothing, until it holds no more, and for one cost and one
set of limits. While there are reservations it is not: they may be given back.

    !<until> <window> <used> <limit> <cost> <limits> (a line end, and the tally)
]]
local CALL, REFUSED, FIELDS_MAX, ROOM_TRIES = 60000, string.byte('!'), 100, 10
local fields_of, limits_of = {}, {}

-- The names of a group's fields.
local function fields(group)
  local found = fields_of[group]
  if not found then
    found = {'=' .. group, '+' .. group, '?' .. group, '-' .. group}
    fields_of[group] = found
  end
  return found
end

-- A tally without the refusal that may stand in front of it.
local function without_refusal(text)
  return text and string.byte(text) == REFUSED and match(text, '\n(.*)$') or text
end

-- Whether a group that has none of these values must be counted under '*', as the user has so many already.
local function is_one_too_many(counts, values)
  return not (values[1] or values[2] or values[3]) and redis.call('HLEN', counts) >= FIELDS_MAX
end

-- Forgets some of a user's groups in which nothing counts any more, so that others find a place.
local function make_room(counts, now)
  for _, field in ipairs(redis.call('HRANDFIELD', counts, ROOM_TRIES)) do
    local text = sub(field, 1, 1) == '=' and redis.call('HGET', counts, field)
    if text and parse(without_refusal(text))[1] < now - DAY_MS then
      redis.call('HDEL', counts, field)
    end
  end
end

-- Limits in words: the calls per minute, hour and day, and the burst.
local function limits(words)
  local found = limits_of[words]
  if not found then
    local minute, hour, day, burst = match(words, '^(%d+) (%d+) (%d+) (%d+)$')
    found = {minute + 0, hour + 0, day + 0, burst + 0}
    limits_of[words] = found
  end
  return found
end

-- What an operator has set for this user in place of other limits, if anything.
local function own_limits(there, key)
  return there and redis.call('HGET', there, match(key, '^{[^}]*}:rate:(.*)$'))
end

-- The first moment at which so many calls of a ring have left its window. Reservations that may yet be appended later
-- are taken to be appended now.
local function free_at(tallies, ring, need, now)
  local calls, cells, here = {}, {}, floor(now / SIZES[ring])
  for number, t in ipairs(tallies) do
    split(t)
    local newest = floor(t[1] / SIZES[ring])
    local function count(cell, there)
      cell = math.min(cell, max(here, floor(tallies[1][1] / SIZES[ring])))
      if not calls[cell] then
        calls[cell], cells[#cells + 1] = 0, cell
      end
      calls[cell] = calls[cell] + (number == 4 and -there or there)
    end
    for cell, there in string.gmatch(t[8 + ring], '(%d%d%d)(%d+),') do
      count(newest - (newest - cell) % 1000, there)
    end
    count(newest, t[2 + 2 * ring])
  end
  table.sort(cells)
  for _, cell in ipairs(cells) do
    need = need - calls[cell]
    if need <= 0 then
      return (cell + CELLS[ring] + 1) * SIZES[ring]
    end
  end
end

-- The tallies of a group, from its fields' values, brought to now; what is past of the burst's debt is paid off.
local function tallies_at(values, now, per_minute)
  local calls = parse(values[1])
  if now > calls[1] then
    calls[2] = max(0, calls[2] - (now - calls[1]) * per_minute)
  end
  move(calls, now, max(now, calls[1]), now >= calls[1])
  if not (values[2] or values[3] or values[4]) then
    return {calls}
  end
  local tallies = {calls}
  for number = 2, 4 do
    tallies[number] = parse(values[number] and (number < 4 and values[number] or match(values[4], ' (.*)$')))
    move(tallies[number], now, tallies[number][1])
  end
  return tallies
end

-- What becomes of a call: 1 allowed, 0 not now, -1 never; the window that is tightest, or holds longest (1 minute,
-- 2 hour, 3 day, 4 burst); what is used of it; its limit; in how many milliseconds one such call would pass, or, if
-- this one is allowed, the window would be empty.
local function weigh(tallies, now, allowed, cost)
  local calls, created, reserved, forgiven = tallies[1], tallies[2], tallies[3], tallies[4]
  local tight, window, used, until_ms, held, held_used = math.huge, 1, 0, 0, nil, 0
  for ring = 1, 3 do
    local at = 1 + 2 * ring
    local there = calls[at]
    if created then
      there = there + created[at] + reserved[at] - forgiven[at]
    end
    local left = allowed[ring] - there - cost
    if left < 0 then
      if cost > allowed[ring] then
        return -1, ring, there, allowed[ring], 0
      end
      local free = free_at(tallies, ring, -left, now)
      if free > until_ms then
        until_ms, held, held_used = free, ring, there
      end
    elseif left < tight then
      tight, window, used = left, ring, there
    end
  end
  local owed = calls[2] + (cost - allowed[4]) * CALL
  if owed > 0 then
    if cost > allowed[4] then
      return -1, 4, math.ceil(calls[2] / CALL), allowed[4], 0
    end
    local free = calls[1] + math.ceil(owed / allowed[1])
    if free > until_ms then
      until_ms, held, held_used = free, 4, math.ceil(calls[2] / CALL)
    end
  end
  if held then
    return 0, held, held_used, allowed[held], until_ms - now
  end
  local latest = calls[1]
  for number = 2, 3 do
    local t = tallies[number]
    latest = t and t[1 + 2 * window] > 0 and max(latest, t[1]) or latest
  end
  local empty_ms = (floor(latest / SIZES[window]) + CELLS[window] + 1) * SIZES[window]
  return 1, window, used + cost, allowed[window], empty_ms - now
end

-- Gives back what a reservation made at this time has used of the burst, as far as it can't have been paid off
-- since it was made.
local function give_back(calls, now, made, per_minute)
  calls[2] = max(0, calls[2] - max(0, CALL - max(0, now - made) * per_minute))
end

-- A refusal as it is remembered, in front of the tally.
local function refusal(now, verdict, cost, words)
  return '!' .. now + verdict[5] .. ' ' .. verdict[2] .. ' ' .. verdict[3] .. ' ' .. verdict[4] .. ' ' .. cost .. ' '
    .. words .. '\n'
end

-- What a remembered refusal says, if it still holds for calls of this cost under these limits.
local function remembered(text, now, cost, words)
  if text and string.byte(text) == REFUSED then
    local until_ms, window, used, limit, its_cost, its_words =
      match(text, '^!(%d+) (%d) (%d+) (%d+) (%d+) ([%d ]+)\n')
    if now < until_ms + 0 and its_cost + 0 == cost and its_words == words then
      return {0, window + 0, used + 0, limit + 0, until_ms - now}
    end
  end
end
