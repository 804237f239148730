/**
 * Scripts that store messages, in Lua.
 *
 * @module
 */

/**
 * Stores plain messages, all or none.
 *
 * Arguments: messages.
 */
export const publishPlain: string = `
local stream = KEYS[1]
local call = redis.call
for i = 1, #ARGV do call('XADD', stream, '*', 'm', ARGV[i]) end
return #ARGV
`;

/**
 * Stores the messages of several calls, each all or none.
 *
 * Arguments: greatest number stored (0: any), window of ids in milliseconds, then for each call the number of its messages, and for
 * each message its kind (\`p\` plain, \`d\` delayed, \`o\` ordered), the id by which a second one is dropped or nothing, the due time or
 * 0, and its text.
 *
 * Returns for each call 1, or 0 when it would be too many.
 */
export const publish: string = `
local most, window = tonumber(ARGV[1]), ARGV[2]
local delayed = P .. 'delayed'
local time = now()

-- How many messages somebody has yet to take. With several groups an entry that only some have acked counts as one.
local function stored()
  local sum = call('XLEN', O) + call('ZCARD', delayed)
  local groups = call('SMEMBERS', P .. 'groups')
  for _, g in ipairs(groups) do sum = sum + call('HLEN', name('store', g)) end
  local fresh = call('XLEN', S)
  if sum + fresh < most or #groups == 0 then return sum + fresh end
  trim(S)
  trim(O)
  sum = call('XLEN', O) + call('ZCARD', delayed)
  for _, g in ipairs(groups) do sum = sum + call('HLEN', name('store', g)) end
  fresh = call('XLEN', S)
  if #groups == 1 then
    local infos = call('XINFO', 'GROUPS', S)
    local group = #infos == 1 and pairs_of(infos[1])
    if group and type(group.lag) == 'number' then fresh = group.pending + group.lag end
  end
  return sum + fresh
end

local size = most > 0 and stored() or 0
local out = {}
local look = false
local at = 3
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local first = at + 1
  at = first + count * 4
  local fits = true
  if most > 0 then
    local fresh = 0
    for i = first, at - 4, 4 do
      local id = ARGV[i + 1]
      if id == '' or call('EXISTS', P .. 'id:' .. id) == 0 then fresh = fresh + 1 end
    end
    fits = fresh == 0 or size + fresh <= most
    if fits then size = size + fresh end
  end
  if fits then
    for i = first, at - 4, 4 do
      local kind, id, due, text = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
      if id == '' or call('SET', P .. 'id:' .. id, '1', 'PX', window, 'NX') then
        if kind == 'p' then
          call('XADD', S, '*', 'm', text)
        elseif kind == 'o' then
          call('XADD', O, '*', 'm', text)
          look = true
        else
          local head = call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
          local number = string.format('%016.0f', call('INCR', P .. 'sequence'))
          call('ZADD', delayed, due, number .. '\\n' .. text)
          if not head or tonumber(due) < tonumber(head) then look = true end
        end
      end
    end
  end
  out[#out + 1] = fits and 1 or 0
end
-- Readers block on the stream and their wake stream alone: tell one of each group that there is something beside the stream.
if look then
  for _, g in ipairs(call('SMEMBERS', P .. 'groups')) do wake(g) end
end
return out
`;
