import type { StoredKey } from '../../db/alipay-keys';
import { assertOurs, merchantId } from '../../db/merchants';
import type { Payment } from '../../db/payments';
import { PaymentError } from '../../workflows/errors';
import type { BillOfMerchant } from '../../workflows/messages';
import type { Circuit } from './breaker';
import type { AlipayGateway } from './gateway';
import { PROBE_OUT_TRADE_NO } from './gateway';
import type { NotificationVerifier } from './notification';

/**
 * The gateways of the merchants that this process has, each with its own circuit breaker: one merchant's outage does
 * not stop queries about another's payments. A payment is only ever queried at its own merchant's gateway.
 */
export class AlipayGateways {
  /** Ids of the merchants (`db/merchants.ts`). */
  readonly ids: readonly string[];
  /** Who notifications may be for. */
  readonly verifiers: readonly NotificationVerifier[];
  /** Open while this process seems unable to reach any of their gateways. */
  readonly circuit: Circuit;
  readonly #byId: ReadonlyMap<string, AlipayGateway>;

  /** @param all the environment's own first */
  constructor(readonly all: readonly [own: AlipayGateway, ...AlipayGateway[]]) {
    this.#byId = new Map(all.map((gateway) => [merchantId(gateway.settings), gateway]));
    this.ids = [...this.#byId.keys()];
    this.verifiers = all.map(({ verifier }) => verifier);
    this.circuit = commonCircuit(all);
    for (const { circuit } of all) circuit.onOpen(() => void this.#lookForNetwork());
  }

  /** Others not called for a while could vouch for this process: they are asked, so that none has to wait. */
  async #lookForNetwork(): Promise<void> {
    if (!this.circuit.isOpen) return;
    const others = this.all.filter(({ circuit }) => !circuit.isOpen);
    // Their circuits keep the outcome.
    await Promise.allSettled(others.map((other) => other.query(PROBE_OUT_TRADE_NO)));
  }

  /** The environment's own gateway. */
  get own(): AlipayGateway {
    return this.all[0];
  }

  /** The keys with which Alipay signs for these merchants, each once. */
  get keys(): readonly StoredKey[] {
    const all = this.verifiers.flatMap(({ keys }) => keys.kept);
    return [...new Map(all.map((key) => [key.fingerprint, key])).values()];
  }

  /** {@link ids} without those that cannot be reached just now; while {@link circuit} is open, all. */
  get reachableIds(): readonly string[] {
    if (this.circuit.isOpen) return this.ids;
    const now = performance.now();
    const reachable = [...this.#byId].filter(
      ([, { circuit }]) => !circuit.isOpen || (circuit.probeAt ?? Number.POSITIVE_INFINITY) <= now,
    );
    return reachable.map(([id]) => id);
  }

  /**
   * The gateway of a payment's merchant. A row that was inserted by hand names none, and gets the environment's.
   *
   * @throws PaymentError MERCHANT_UNKNOWN
   */
  of({ outTradeNo, merchant }: Pick<Payment, 'outTradeNo' | 'merchant'>): AlipayGateway {
    return this.#of(merchant, `Payment ${outTradeNo}`);
  }

  /**
   * The gateway of a bill's merchant.
   *
   * @throws PaymentError MERCHANT_UNKNOWN
   */
  ofBill({ merchant, date }: BillOfMerchant): AlipayGateway {
    return this.#of(merchant, `The bill of ${date}`);
  }

  #of(merchant: string | null, what: string): AlipayGateway {
    assertOurs(merchant, this.ids, what);
    return this.#byId.get(merchant ?? '') ?? this.own;
  }

  /**
   * The gateway of the merchant with this name in `MERCHANTS_FILE`; without a name, the environment's own.
   *
   * @throws PaymentError INVALID_INPUT
   */
  named(name: string | undefined): AlipayGateway {
    const found = name === undefined ? this.own : this.all.find(({ settings }) => settings.name === name);
    if (found) return found;
    const names = this.all.map(({ settings }) => settings.name).join(', ');
    throw new PaymentError('INVALID_INPUT', `merchant: no merchant has this name; this process has ${names}`);
  }
}

/**
 * Open if any circuit is open and none has just answered. A circuit that is closed only because nobody has called it does not
 * show that this process has a network.
 */
function commonCircuit(gateways: readonly AlipayGateway[]): Circuit {
  return {
    get isOpen() {
      return (
        gateways.some(({ circuit }) => circuit.isOpen) &&
        !gateways.some(({ circuit }) => circuit.hasJustAnswered)
      );
    },
    get probeAt() {
      const times = gateways.flatMap(({ circuit }) => circuit.probeAt ?? []);
      return times.length === 0 ? undefined : Math.min(...times);
    },
  };
}
