--[[
gather: the next interrupts of a view in one partition, in order. Included by the scripts that list.

source, in_others    as `indexes` has them
after                the number after which to go on; '': from the start
status               'pending': oldest first, and only what its own key says is pending and not overdue;
                     'closed': newest first
limit, scan, bytes   how many to find and to look at at most, and after how many bytes to stop
read                 from ids to what their keys hold (or how that begins), and how many bytes each holds
found                told of each that is found: its id, what was read, its size, and how to find out its number

RETURN  last last_id more

last, last_id        the number and the id of the last one that was looked at; as `after`, and nil, if there is none
more                 1 if there may be more behind it
]]
local AT_ONCE = 64

local function gather(source, in_others, after, status, now, limit, scan, bytes, read, found)
  local call, match, pending = redis.call, string.match, status == 'pending'
  local fits = pending and '^%d+p(%d*)\n' or '^%d+[rcx]()'
  local range = pending and 'ZRANGEBYSCORE' or 'ZREVRANGEBYSCORE'

  -- The next ids of the source, at most so many.
  local function next_of(from, count)
    from = from == '' and (pending and '-inf' or '+inf') or '(' .. from
    local to = pending and '+inf' or '-inf'
    if #source == 1 then
      return call(range, source[1], from, to, 'LIMIT', 0, count)
    end
    local pairs_of = {}
    for _, key in ipairs(source) do
      local members = call(range, key, from, to, 'WITHSCORES', 'LIMIT', 0, count)
      for m = 1, #members, 2 do
        pairs_of[#pairs_of + 1] = {members[m], tonumber(members[m + 1])}
      end
    end
    table.sort(pairs_of, function(a, b) return a[2] < b[2] end)
    local ids = {}
    for p = 1, math.min(count, #pairs_of) do
      ids[p] = pairs_of[p][1]
    end
    return ids
  end

  local function number_of(id)
    for _, key in ipairs(source) do
      local number = call('ZSCORE', key, id)
      if number then
        return number
      end
    end
  end

  local last, last_id, looked, count_found, more = after, nil, 0, 0, 1
  while more == 1 and looked < scan do
    local count = math.min(scan - looked, limit - count_found + 1, AT_ONCE)
    local ids, asked, a = next_of(last, count), {}, 0
    for i = 1, #ids do
      if in_others(ids[i]) then
        asked[#asked + 1] = ids[i]
      end
    end
    local held, sizes = read(asked)
    more = #ids < count and 0 or 1
    for i = 1, #ids do
      if count_found == limit or (count_found > 0 and bytes <= 0) then
        return last_id and number_of(last_id) or last, last_id, 1
      end
      local id = ids[i]
      looked = looked + 1
      if asked[a + 1] == id then
        a = a + 1
        local text = held[a]
        local deadline = text and match(text, fits)
        if deadline and (not pending or deadline == '' or tonumber(deadline) > now) then
          count_found, bytes = count_found + 1, bytes - sizes[a]
          found(id, text, sizes[a], number_of)
        end
      end
      last_id = id
    end
    last = last_id and number_of(last_id) or last
  end
  return last, last_id, more
end
