import { generateKeyPairSync } from 'node:crypto';
import { AlipayKeys } from '../../activities/alipay/key';

export const pair = () =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });

/** Alipay's key pair, for tests that sign as Alipay does. */
export const alipay = pair();

/** A merchant that has Alipay's public key. */
export const verifier = {
  merchant: 'A/1',
  name: 'default',
  appId: '2021000000000000',
  sellerId: '2088000000000000',
  keys: new AlipayKeys({ publicKey: alipay.publicKey }),
};
