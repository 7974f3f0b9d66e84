import { BlockList, isIP } from 'node:net';

const PRIVATE = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  // Link-local and carrier-grade NAT: where clouds serve their metadata.
  ['169.254.0.0', 16],
  ['100.64.0.0', 10],
] as const)
  PRIVATE.addSubnet(network, prefix);
for (const [network, prefix] of [
  ['fc00::', 7],
  ['fe80::', 10],
  ['64:ff9b::', 96],
] as const)
  PRIVATE.addSubnet(network, prefix, 'ipv6');

/**
 * In which kind of network the address of a URL is, judging only by the URL: a name counts as public, whatever it
 * resolves to. `new URL` understands every spelling of an address, like http://2130706433.
 */
export function networkOf(url: string): 'loopback' | 'private' | 'public' {
  const { hostname } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (host === 'localhost' || host === '::1' || /^127\./.test(host)) return 'loopback';
  const version = isIP(host);
  if (version === 0) return 'public';
  return PRIVATE.check(host, version === 6 ? 'ipv6' : 'ipv4') ? 'private' : 'public';
}
