/**
 * The script that whoever is awake runs now and then, in Lua.
 *
 * @module
 */

/**
 * Moves what is due, takes over what nobody holds any more, forgets consumers and groups that are gone, trims.
 *
 * Arguments: group, after how many milliseconds without a word a consumer is gone, then consumers of this process and their leases.
 *
 * Returns milliseconds until there is something to do (-1: nothing known), and 1 when there is more now.
 *
 * A takeover looks at the pending entries of each consumer by that consumer's lease. XAUTOCLAIM has one idle time for all, counts a
 * delivery, and would leave the entry pending, where it pins the stream.
 */
export const tend: string = `
local g, stale = ARGV[1], tonumber(ARGV[2])
local time = now()
sweep(time)
if not exists(g) then return redis.error_reply('NOGROUP the group was removed') end
go_on(g)
local consumers, seen, ready = name('consumers', g), name('seen', g), name('ready', g)
local later, leases, delayed = name('later', g), name('lease', g), P .. 'delayed'
for i = 3, #ARGV, 2 do
  call('HSET', consumers, ARGV[i], ARGV[i + 1])
  call('ZADD', seen, time, ARGV[i])
end
local expires = call('HGET', name('group', g), 'expiresMs')
if expires and expires ~= '' and #ARGV > 2 then call('ZADD', P .. 'expiring', time + tonumber(expires), g) end

local more, look, next_at = false, false, nil
local function soon(at)
  if at and (not next_at or at < next_at) then next_at = at end
end
if expires and expires ~= '' then soon(time + tonumber(expires) / 3) end

-- Delayed publishes: now they get their place in the stream.
local due = call('ZRANGEBYSCORE', delayed, '-inf', time, 'LIMIT', 0, 200)
for _, member in ipairs(due) do
  call('XADD', S, '*', 'm', string.sub(member, 18))
  call('ZREM', delayed, member)
end
if #due == 200 then more = true end
soon(tonumber(call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]))

due = call('ZRANGEBYSCORE', later, '-inf', time, 'LIMIT', 0, 200)
for _, token in ipairs(due) do
  call('ZREM', later, token)
  call('ZADD', ready, 0, token)
  look = true
end
if #due == 200 then more = true end
soon(tonumber(call('ZRANGE', later, 0, 0, 'WITHSCORES')[2]))

due = call('ZRANGEBYSCORE', leases, '-inf', time, 'LIMIT', 0, 200)
for _, token in ipairs(due) do
  call('ZREM', leases, token)
  call('HDEL', name('holder', g), token)
  call('ZADD', ready, 0, token)
  look = true
end
if #due == 200 then more = true end
soon(tonumber(call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2]))

local all = call('HGETALL', consumers)
for i = 1, #all, 2 do
  local consumer, lease = all[i], patience(tonumber(all[i + 1]))
  local list = call('XPENDING', S, g, 'IDLE', lease, '-', '+', 100, consumer)
  for _, item in ipairs(list) do
    local id = item[1]
    local text = entry(S, id)
    call('XACK', S, g, id)
    if text then
      local token = pad(id) .. 'm'
      put(g, token, 1, text)
      call('ZADD', ready, 0, token)
      look = true
    end
  end
  if #list == 100 then more = true end
  local oldest = call('XPENDING', S, g, '-', '+', 1, consumer)[1]
  if oldest then
    soon(time + math.max(0, lease - oldest[3]))
  elseif time - (tonumber(call('ZSCORE', seen, consumer)) or 0) > stale + lease then
    -- It holds nothing and was not heard of: deleting it loses nothing.
    call('XGROUP', 'DELCONSUMER', S, g, consumer)
    call('XGROUP', 'DELCONSUMER', O, g, consumer)
    call('XGROUP', 'DELCONSUMER', name('wake', g), g, consumer)
    call('HDEL', consumers, consumer)
    call('ZREM', seen, consumer)
  end
end

if trim(S) then more = true end
if call('XLEN', O) > 0 then
  if trim(O) then more = true end
  -- A wake entry can be lost with the process that read it.
  if call('XLEN', O) > 0 then look = true end
end
if look or call('ZCARD', ready) > 0 then wake(g) end
return { next_at and math.max(0, next_at - time) or -1, more and 1 or 0 }
`;

/** Removes groups whose time is over. No arguments. */
export const sweepOnly: string = `
sweep(now())
return 1
`;
