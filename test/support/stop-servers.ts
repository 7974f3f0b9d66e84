/** jest's globalTeardown of the tiers on real servers: nothing that startServers started is left running. */
export default async function stopServers(): Promise<void> {
  const child = globalThis.testServers;
  if (!child || child.exitCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.stdin?.end();
  await exit;
}
