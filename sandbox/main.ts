import { runCli } from './cli';

runCli(process.argv, process.env).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
