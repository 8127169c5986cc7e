import { measured } from './look.ts';

process.stdout.write(JSON.stringify(await measured(process.argv[2])));
