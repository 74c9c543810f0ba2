--[[
rings: counting calls in sliding windows. Included by the scripts that count calls or look at counts.

A window is a ring of cells: of the minute, 60 of a second; of the hour, 60 of a minute; of the day, 96 of 15 minutes.
The cell that is only partly in the window counts as a whole. So never more than the limit passes within any stretch of
time as long as the window, and a call may be refused up to one cell too early.

A tally is three rings and the debt of the burst, as text:

    last debt total newest total newest total newest;cells;cells;cells

last     the time of the latest call, in milliseconds
debt     of the burst, at that time, in 60,000ths of a call: each millisecond as many are paid off as calls per minute
         are allowed
total    of a ring (minute, hour, day): the calls in all its cells
newest   of a ring: the calls in the cell of `last`
cells    of a ring: its other cells that have calls, the oldest first, each as three digits (its number modulo 1,000; it
         is less than 1,000 older than the newest), the calls, and a comma. So what lies ahead of now, by up to 15
         minutes, pushes nothing out of the minute's window: a log's time can be ahead of the server's clock

In memory it is {last, debt, total, newest, total, newest, total, newest, cells, cells, cells}; before the cells are
needed they are one text, at 9, as most calls come in the same second as the one before.
]]
local SIZES, CELLS, SPAN = {1000, 60000, 900000}, {60, 60, 96}, 998
local DAY_MS = (CELLS[3] + 1) * SIZES[3]
local NOTHING = '0 0 0 0 0 0 0 0;;;'
local floor, max, match, sub = math.floor, math.max, string.match, string.sub

local function parse(text)
  local last, debt, minute, m, hour, h, day, d, at =
    match(text or NOTHING, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+);()')
  return {last + 0, debt + 0, minute + 0, m + 0, hour + 0, h + 0, day + 0, d + 0, sub(text or NOTHING, at)}
end

local function split(t)
  if t[9] == ';;' then
    t[9], t[10], t[11] = '', '', ''
  elseif not t[10] then
    t[9], t[10], t[11] = match(t[9], '^([^;]*);([^;]*);(.*)$')
  end
end

local function text_of(t)
  return t[1] .. ' ' .. t[2] .. ' ' .. t[3] .. ' ' .. t[4] .. ' ' .. t[5] .. ' ' .. t[6] .. ' ' .. t[7] .. ' ' .. t[8]
    .. ';' .. (t[10] and t[9] .. ';' .. t[10] .. ';' .. t[11] or t[9])
end

local function cell_text(cell, calls)
  return string.format('%03d', cell % 1000) .. calls .. ','
end

-- Lets go of what has left its window by now, and makes the cell of `latest` the newest one, if it is not older. A
-- `tidy` tally was written at its last call, without what had left by then: in the same cell nothing can have left since.
local function move(t, now, latest, tidy)
  local last = t[1]
  for ring = 1, 3 do
    local size, at = SIZES[ring], 1 + 2 * ring
    local here, newest = floor(latest / size), floor(last / size)
    if t[at] > 0 and not (tidy and here == newest and floor(now / size) == newest) then
      split(t)
      local list = 8 + ring
      local oldest = max(floor(now / size) - CELLS[ring], here - SPAN)
      if newest < oldest then
        t[at], t[at + 1], t[list] = 0, 0, ''
      else
        local cells, start = t[list], 1
        while start <= #cells do
          local cell, calls, after = match(cells, '^(%d%d%d)(%d+),()', start)
          if newest - (newest - cell) % 1000 >= oldest then
            break
          end
          t[at], start = t[at] - calls, after
        end
        if start > 1 then
          cells = sub(cells, start)
        end
        if here > newest and t[at + 1] > 0 then
          cells, t[at + 1] = cells .. cell_text(newest, t[at + 1]), 0
        end
        t[list] = cells
      end
    end
  end
  if latest > last then
    t[1] = latest
  end
end

-- Changes the calls in an older cell; takes back no more than are there.
local function change(t, ring, cell, calls)
  split(t)
  local cells, newest, start, there, after = t[8 + ring], floor(t[1] / SIZES[ring]), 1, 0, 1
  while start <= #cells do
    local number, found, next_start = match(cells, '^(%d%d%d)(%d+),()', start)
    local at = newest - (newest - number) % 1000
    after = start
    if at >= cell then
      if at == cell then
        there, after = found + 0, next_start
      end
      break
    end
    start, after = next_start, next_start
  end
  calls = max(calls, -there)
  local left = there + calls
  t[8 + ring] = sub(cells, 1, start - 1) .. (left > 0 and cell_text(cell, left) or '') .. sub(cells, after)
  t[1 + 2 * ring] = t[1 + 2 * ring] + calls
end

-- Adds calls made at a time, which may be before the latest one; or takes them back, as far as they are there.
local function add(t, now, ms, calls, tidy)
  move(t, now, max(ms, t[1]), tidy and now >= t[1])
  for ring = 1, 3 do
    local at, cell, newest = 1 + 2 * ring, floor(ms / SIZES[ring]), floor(t[1] / SIZES[ring])
    if cell == newest then
      local added = max(calls, -t[at + 1])
      t[at], t[at + 1] = t[at] + added, t[at + 1] + added
    elseif cell >= max(floor(now / SIZES[ring]) - CELLS[ring], newest - SPAN) then
      change(t, ring, cell, calls)
    end
  end
end

-- When counts can be forgotten, if nothing is added to them after this time.
local function expiry(ms)
  return (floor(ms / SIZES[3]) + CELLS[3] + 2) * SIZES[3]
end

-- Writes a group's reservations; when there are none any more, they need no place.
local function keep_reserved(counts, group, tally)
  if tally[7] > 0 then
    redis.call('HSET', counts, '?' .. group, text_of(tally))
  else
    redis.call('HDEL', counts, '?' .. group)
  end
end

-- Whether a place in a log is after the one in a mark, '<ms> <number>'.
local function is_after(ms, number, mark)
  local mark_ms, mark_number = match(mark, '^(%d+) (%d+)$')
  return ms + 0 > mark_ms + 0 or (ms + 0 == mark_ms + 0 and number + 0 > mark_number + 0)
end

-- What a function of one item returns, or its error: what is damaged of one user must not fail the others.
local function guarded(done, ...)
  local ok, outcome = pcall(done, ...)
  if ok then
    return outcome
  end
  local text = type(outcome) == 'table' and outcome.err or tostring(outcome)
  return redis.error_reply(match(text, '^%u+ ') and text or 'DAMAGED ' .. text)
end
