import { waitFor } from './wait-for';

/** What `POST /checkout` answers. */
export interface Checkout {
  orderId: string;
  outTradeNo: string;
  paymentUrl: string;
  workflowId: string;
}

/** A shop as a stranger would write it: it knows the HTTP API and nothing else. */
export class Shop {
  /** @param url - of the HTTP server */
  constructor(
    readonly url: string,
    private readonly token: string | undefined,
  ) {}

  checkout(order: {
    orderId: string;
    subject: string;
    totalAmount: string;
    expiresIn?: string;
  }): Promise<Checkout> {
    return this.#call<Checkout>('POST', '/checkout', order);
  }

  async orderStatus(orderId: string): Promise<string> {
    return (await this.#call<{ status: string }>('GET', `/orders/${orderId}`)).status;
  }

  /** Tries for ten seconds: the server may be on its way back. Every call here may be repeated. */
  async #call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const response = await waitFor(() => this.#fetch(method, path, body), {
      what: `${method} ${this.url}${path}`,
    });
    const answer = (await response.json()) as Answer & { code?: string; message?: string };
    if (!response.ok)
      throw new Error(`${method} ${path}: ${answer.code ?? response.status} ${answer.message ?? ''}`);
    return answer;
  }

  #fetch(method: string, path: string, body?: object): Promise<Response> {
    return fetch(this.url + path, {
      method,
      headers: {
        ...(body && { 'content-type': 'application/json' }),
        ...(this.token && { authorization: `Bearer ${this.token}` }),
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    });
  }
}
