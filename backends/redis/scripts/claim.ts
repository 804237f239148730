/**
 * The script that claims what is not in the stream: released, retried and ordered messages, in Lua.
 *
 * @module
 */

/**
 * Claims messages: up to so many that were never delivered, or one that was.
 *
 * Arguments: group, consumer, lease in milliseconds, at most how many, greatest age in milliseconds (0: any), ids of wake entries to
 * settle.
 *
 * Returns 1 when there is more, milliseconds until something is due (-1: nothing), then for each claim its token, attempt and text.
 */
export const claim: string = `
local g, consumer, lease, most, oldest = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if not exists(g) then return redis.error_reply('NOGROUP the group was removed') end
go_on(g)
for i = 6, #ARGV do call('XACK', name('wake', g), g, ARGV[i]) end
local settings = call('HMGET', name('group', g), 'keys', 'maxAttempts')
local filter, last = settings[1], tonumber(settings[2])
local time = now()
local ready, later, queue = name('ready', g), name('later', g), name('queue', g)
local out = { 0, -1 }

-- 100 at a time, so that one call is short.
local due = call('ZRANGEBYSCORE', later, '-inf', time, 'LIMIT', 0, 100)
for _, token in ipairs(due) do
  call('ZREM', later, token)
  call('ZADD', ready, 0, token)
end

local function take(token, attempt, text)
  put(g, token, attempt, text)
  call('HSET', name('holder', g), token, consumer)
  call('ZADD', name('lease', g), time + patience(lease), token)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = token, attempt, text
end

-- The age of what came back from the dead letters counts from then, or it would be buried again at once.
local function expired(token, text)
  if oldest == 0 then return false end
  local _, _, at = parse(text)
  if string.sub(token, -1) == 'r' then at = born(token) end
  return at + oldest < time
end

local looked, single = 0, false
while #out < 2 + most * 3 and looked < most + 200 do
  local token = call('ZRANGE', ready, 0, 0)[1]
  if not token then break end
  looked = looked + 1
  local attempts, text = get(g, token)
  local _, key = parse(text or '')
  if not attempts then
    call('ZREM', ready, token)
  elseif not matches(filter, key) then
    drop(g, token, text)
  elseif expired(token, text) then
    bury(g, text, attempts, 'expired')
    drop(g, token, text)
  elseif attempts >= last then
    bury(g, text, attempts, 'exhausted', call('HGET', name('error', g), token))
    drop(g, token, text)
  elseif attempts > 0 then
    -- Alone: should it kill its process, nothing else has lost an attempt.
    single = #out == 2
    if single then
      call('ZREM', ready, token)
      take(token, attempts + 1, text)
    end
    break
  else
    call('ZREM', ready, token)
    take(token, 1, text)
  end
end

-- Ordered messages. Those that wait for their key are kept in the queue, which is bounded: behind a very long row of one key the
-- others wait too.
local taken = false
if not single and call('ZCARD', ready) == 0 then
  local room = most - (#out - 2) / 3
  local rounds = 0
  while room > 0 and rounds < 4 and call('ZCARD', queue) < 10000 do
    rounds = rounds + 1
    -- No more than find room: they may all have different keys.
    local count = room
    local read = call('XREADGROUP', 'GROUP', g, consumer, 'COUNT', count, 'NOACK', 'STREAMS', O, '>')
    if not read then break end
    local list = read[1][2]
    for _, item in ipairs(list) do
      local token, text = pad(item[1]) .. 'o', item[2][2]
      local _, key, _, ordering = parse(text)
      if matches(filter, key) then
        if expired(token, text) then
          bury(g, text, 0, 'expired')
        elseif call('HSETNX', name('keys', g), ordering, token) == 1 then
          take(token, 1, text)
          room = room - 1
        else
          put(g, token, 0, text)
          call('ZADD', queue, 0, ordering .. '\\0' .. token)
        end
      end
    end
    taken = #list == count
    if not taken then break end
  end
end

if call('ZCARD', ready) > 0 or taken then out[1] = 1 end
local first = call('ZRANGE', later, 0, 0, 'WITHSCORES')[2]
if first then out[2] = math.max(0, tonumber(first) - time) end
-- Somebody else may be waiting while this one is busy with what it got.
if out[1] == 1 and #out > 2 then wake(g) end
return out
`;
