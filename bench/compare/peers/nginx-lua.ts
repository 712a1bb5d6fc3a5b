// nginx with Lua, as Debian packages it: the same policies as a script that runs inside the worker.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { apiKeys } from '../credentials.js';
import { highLimit } from '../policy-work.js';
import { outputOf } from '../programs.js';
import { configuration, file, type NginxAdditions, nginx } from './nginx.js';
import type { Absent, Located, Peer, Setup } from './peer.js';

const modules = ['ndk_http_module.so', 'ngx_http_lua_module.so'];

/** Where nginx has its modules, once it has been found. */
let modulesFolder = '';

export const nginxLua: Peer = {
  ...nginx,
  name: 'nginx-lua',
  remark:
    'nginx as above; keys in a Lua table, limits in a lua_shared_dict, which a timestamp of the minute tells apart',

  async locate(given): Promise<Located | Absent> {
    const found = await nginx.locate(given);
    if ('absent' in found) return found;
    const folder = /--modules-path=(\S+)/.exec(await outputOf(found.program, ['-V']))?.[1] ?? '';
    const missing = modules.find((name) => !existsSync(path.join(folder, name)));
    if (missing !== undefined) {
      return { absent: `${missing} is not here (Debian: apt-get install libnginx-mod-http-lua)` };
    }
    modulesFolder = folder;
    return found;
  },

  files: (setup) => ({ [file]: configuration(setup, additions(setup)) }),
};

function additions({ policies }: Setup): NginxAdditions {
  const main = modules.map((name) => `load_module ${path.join(modulesFolder, name)};`);
  if (policies?.kind !== 'keys') return { main, http: [], server: [] };
  return {
    main,
    http: [
      'lua_shared_dict limits 16m;',
      'init_by_lua_block {',
      '  consumers = {',
      ...apiKeys.map(({ key, consumer }) => `    ["${key}"] = "${consumer}",`),
      '  }',
      '}',
    ],
    server: [
      'access_by_lua_block {',
      '  local consumer = consumers[ngx.var.http_x_api_key or ""]',
      '  if not consumer then return ngx.exit(401) end',
      '  local window = consumer .. math.floor(ngx.time() / 60)',
      '  local used = ngx.shared.limits:incr(window, 1, 0, 120)',
      `  if not used or used > ${highLimit} then return ngx.exit(429) end`,
      '  ngx.req.set_header("X-Consumer-Id", consumer)',
      '  ngx.req.clear_header("X-API-Key")',
      '}',
    ],
  };
}
