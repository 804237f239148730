/**
 * Scripts that settle and extend what a consumer holds, in Lua.
 *
 * @module
 */

/**
 * Settles claims one by one, in one step.
 *
 * Arguments: group, consumer, then for each claim the verb (\`ack\`, \`nack\`, \`reject\`, \`release\`), its stream id or token, the
 * delay in milliseconds or 0, the reason or nothing, and the error or nothing.
 *
 * Returns for each claim 1 when the consumer held it.
 */
export const settle: string = `
local g, consumer = ARGV[1], ARGV[2]
local out = {}
if not exists(g) then
  for i = 3, #ARGV, 5 do out[#out + 1] = 0 end
  return out
end
go_on(g)
local last = tonumber(call('HGET', name('group', g), 'maxAttempts'))
local time = now()
local look = false
for i = 3, #ARGV, 5 do
  local verb, ref, delay, reason, err = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4]
  local token, attempts, text, pending = ref, nil, nil, false
  if string.find(ref, '^%d+%-%d+$') then
    token = pad(ref) .. 'm'
    -- A pending entry is always its first reader's: whoever takes it over takes it out of the list.
    pending = call('XACK', S, g, ref) == 1
    if pending and verb ~= 'ack' then attempts, text = 1, entry(S, ref) end
  end
  if not pending and call('HGET', name('holder', g), token) == consumer then attempts, text = get(g, token) end
  if not pending and not attempts then
    out[#out + 1] = 0
  else
    out[#out + 1] = 1
    if verb == 'ack' then
      if not pending and drop(g, token, text) then look = true end
    elseif text then
      if verb == 'reject' or (verb == 'nack' and attempts >= last) then
        bury(g, text, attempts, verb == 'reject' and reason or 'exhausted', err)
        if not pending and drop(g, token, text) then look = true end
      else
        if verb == 'release' then attempts = attempts - 1 end
        put(g, token, attempts, text)
        call('HDEL', name('holder', g), token)
        call('ZREM', name('lease', g), token)
        if verb == 'nack' and err ~= '' then call('HSET', name('error', g), token, err) end
        if verb == 'nack' and delay > 0 then
          call('ZADD', name('later', g), time + delay, token)
        else
          call('ZADD', name('ready', g), 0, token)
          look = true
        end
      end
    end
  end
end
if look then wake(g) end
return out
`;

/**
 * Makes the leases of claims end later.
 *
 * Arguments: group, consumer, the consumer's own lease and the one wanted in milliseconds, then stream ids or tokens.
 *
 * Returns for each claim 1 when the consumer held it.
 */
export const extend: string = `
local g, consumer, own, wanted = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local out = {}
local time = now()
local known = exists(g)
go_on(g)
for i = 5, #ARGV do
  local ref = ARGV[i]
  local token, held = ref, false
  if known and string.find(ref, '^%d+%-%d+$') then
    token = pad(ref) .. 'm'
    if wanted <= own then
      held = #call('XCLAIM', S, g, consumer, 0, ref, 'IDLE', own - wanted, 'JUSTID') == 1
    elseif call('XACK', S, g, ref) == 1 then
      -- Idle time cannot be less than none, so a longer lease than the consumer's lives with the exact ones.
      put(g, token, 1, entry(S, ref))
      call('HSET', name('holder', g), token, consumer)
      call('ZADD', name('lease', g), time + patience(wanted), token)
      held = true
    end
  end
  if known and not held and call('HGET', name('holder', g), token) == consumer then
    call('ZADD', name('lease', g), 'XX', time + patience(wanted), token)
    held = true
  end
  out[#out + 1] = held and 1 or 0
end
return out
`;

/**
 * Gives back what a consumer has claimed and does not know of: after a connection broke while claims were on their way, their attempt
 * uncounted, or when it leaves, counted.
 *
 * Arguments: group, consumer, 1 to leave, then the stream ids and tokens it does know of.
 *
 * Returns how many were given back.
 */
export const giveBack: string = `
local g, consumer, leave = ARGV[1], ARGV[2], ARGV[3] == '1'
if not exists(g) then return 0 end
go_on(g)
local mine = {}
for i = 4, #ARGV do
  mine[ARGV[i]] = true
  -- A longer lease may have moved it meanwhile.
  if string.find(ARGV[i], '^%d+%-%d+$') then mine[pad(ARGV[i]) .. 'm'] = true end
end
local count = 0
local from = '-'
while true do
  local list = call('XPENDING', S, g, from, '+', 100, consumer)
  for _, item in ipairs(list) do
    local id = item[1]
    from = '(' .. id
    if not mine[id] then
      local text = entry(S, id)
      call('XACK', S, g, id)
      if text then
        local token = pad(id) .. 'm'
        put(g, token, leave and 1 or 0, text)
        call('ZADD', name('ready', g), 0, token)
        count = count + 1
      end
    end
  end
  if #list < 100 then break end
end
local holders = call('HGETALL', name('holder', g))
for i = 1, #holders, 2 do
  local token = holders[i]
  if holders[i + 1] == consumer and not mine[token] then
    local attempts, text = get(g, token)
    if attempts and not leave then put(g, token, attempts - 1, text) end
    call('HDEL', name('holder', g), token)
    call('ZREM', name('lease', g), token)
    call('ZADD', name('ready', g), 0, token)
    count = count + 1
  end
end
if leave then
  call('XGROUP', 'DELCONSUMER', S, g, consumer)
  call('XGROUP', 'DELCONSUMER', O, g, consumer)
  call('XGROUP', 'DELCONSUMER', name('wake', g), g, consumer)
  call('HDEL', name('consumers', g), consumer)
  call('ZREM', name('seen', g), consumer)
  local expires = call('HGET', name('group', g), 'expiresMs')
  if expires and expires ~= '' and call('ZCARD', name('seen', g)) == 0 then
    call('ZADD', P .. 'expiring', now() + tonumber(expires), g)
  end
  trim(S)
  trim(O)
end
if count > 0 then wake(g) end
return count
`;
