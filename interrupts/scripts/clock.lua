--[[
clock: the one clock and the one counter of a partition. Included by the scripts that need them.

now = max(server time, time of the last entry), in milliseconds, so time never runs back within a partition, when the
server's clock steps or a replica with a slower one takes over. The sequence number is counted on from the last entry;
in a log that was trimmed of everything, the server's own count of the entries ever added has it.

RETURN  now last_ms last_number sequence broken

last_ms, last_number, sequence  of the last entry; all 0 in an empty log
broken                          the server's error if the log's key can't be read, else nil
]]
local function clock(log)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local last_id, sequence
  local last = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if last.err then
    return now, 0, 0, 0, last.err
  end
  if last[1] then
    if last[1][2][1] ~= 's' then
      return now, 0, 0, 0, 'WRONGTYPE the newest entry of the log is no event; whoever wrote it can remove it with XDEL'
    end
    last_id, sequence = last[1][1], last[1][2][2]
  else
    local info = redis.call('EXISTS', log) == 1 and redis.call('XINFO', 'STREAM', log) or {}
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        last_id = info[i + 1]
      elseif info[i] == 'entries-added' then
        sequence = info[i + 1]
      end
    end
  end
  if not last_id then
    return now, 0, 0, 0
  end
  local ms, number = string.match(last_id, '^(%d+)-(%d+)$')
  local last_ms, last_number = tonumber(ms), tonumber(number)
  if last_ms > now then
    now = last_ms
  end
  return now, last_ms, last_number, tonumber(sequence) or 0
end
