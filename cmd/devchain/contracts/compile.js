// Compiles the contracts with the pinned compiler (assets/package-lock.json):
//
//	node cmd/devchain/contracts/compile.js          write
//	node cmd/devchain/contracts/compile.js --check  fail if what is written is stale
//
// Every NAME.sol here becomes NAME.json for each contract in it (abi and
// bytecode). Validator.sol of app/access/evm becomes validator.hex: it must run
// on any chain, so it is compiled for an old one.
'use strict';
const fs = require('fs');
const path = require('path');

const root = path.resolve(__dirname, '../../..');
const modules = path.join(root, 'assets/node_modules');
const solc = require(path.join(modules, 'solc'));

function compile(file, evmVersion) {
  const name = path.basename(file);
  const settings = {
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: 'none', appendCBOR: false },
    outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
    ...(evmVersion && { evmVersion }),
  };
  const input = { language: 'Solidity', sources: { [name]: { content: fs.readFileSync(file, 'utf8') } }, settings };
  const load = (wanted) => {
    const found = path.resolve(modules, wanted);
    if (!found.startsWith(modules + path.sep)) return { error: 'only from node_modules' };
    return { contents: fs.readFileSync(found, 'utf8') };
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
  const said = output.errors || [];
  for (const e of said) console.error(e.formattedMessage);
  if (said.length) throw new Error(`${name} does not compile cleanly`);
  return output.contracts[name];
}

const wanted = new Map();
for (const name of fs.readdirSync(__dirname).filter((n) => n.endsWith('.sol')).sort()) {
  for (const [contract, { abi, evm }] of Object.entries(compile(path.join(__dirname, name), 'cancun'))) {
    const text = JSON.stringify({ abi, bytecode: '0x' + evm.bytecode.object }, null, 1) + '\n';
    wanted.set(path.join(__dirname, `${contract}.json`), text);
  }
}
const evm = path.join(root, 'app/access/evm');
wanted.set(path.join(evm, 'validator.hex'),
  compile(path.join(evm, 'Validator.sol'), 'london').Validator.evm.bytecode.object + '\n');

const check = process.argv.includes('--check');
for (const [file, text] of wanted) {
  const have = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  if (have === text) continue;
  if (check) {
    console.error(`${path.relative(root, file)} is stale: compile the contracts again and commit`);
    process.exitCode = 1;
    continue;
  }
  fs.writeFileSync(file, text);
}
