
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import fs from 'node:fs';
const records = JSON.parse(fs.readFileSync(process.argv[2]));
const resolver = async (name, kind) => {
    if (kind === 'TXT' && records[name]) return [[records[name]]];
    throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
};
const { results } = await dkimVerify(fs.readFileSync(process.argv[3]), { resolver });
console.log(JSON.stringify(results.map((r) => [r.algo, r.status.result, r.status.aligned])));
