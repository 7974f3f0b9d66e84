import {
  Agent as HttpAgent,
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** What the merchant's server answered. */
export interface DeliveryAnswer {
  status: number;
  body: string;
}

const BODY_MAX = 4096;
const SOCKETS_MAX = 128;

/** Posts forms to merchants. It does not follow redirects: to Alipay they are failed deliveries. */
export class Courier {
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: SOCKETS_MAX });
  readonly #https = new HttpsAgent({ keepAlive: true, maxSockets: SOCKETS_MAX });
  readonly #underWay = new Set<ClientRequest>();

  /** @param deadlineMs the longest time for one delivery, from connecting to the last byte */
  constructor(private readonly deadlineMs: number) {}

  /**
   * Posts a form.
   * @param charset the charset of the percent-encoded bytes in the form
   * @throws Error if no complete answer came within the deadline
   */
  async post(url: string, form: string, charset = 'utf-8'): Promise<DeliveryAnswer> {
    const secure = url.startsWith('https:');
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      agent: secure ? this.#https : this.#http,
      headers: {
        // Malformed, but this is what Alipay sends (expressjs/body-parser#137).
        'content-type': `application/x-www-form-urlencoded; text/html; charset=${charset.toUpperCase()}`,
        'content-length': Buffer.byteLength(form),
      },
    });
    const late = new Error(`no answer within ${this.deadlineMs} ms`);
    const deadline = setTimeout(() => request.destroy(late), this.deadlineMs);
    this.#underWay.add(request);
    try {
      return await new Promise((resolve, reject) => {
        request.on('error', reject);
        request.on('response', (response) => void readBody(response).then(resolve, reject));
        request.end(form);
      });
    } finally {
      clearTimeout(deadline);
      this.#underWay.delete(request);
    }
  }

  /** Aborts the requests under way and closes every connection. */
  close(): void {
    for (const request of this.#underWay) request.destroy(new Error('the sandbox is closing'));
    this.#http.destroy();
    this.#https.destroy();
  }
}

async function readBody(response: IncomingMessage): Promise<DeliveryAnswer> {
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) {
    if (body.length < BODY_MAX) body += String(chunk);
  }
  return { status: response.statusCode ?? 0, body: body.slice(0, BODY_MAX) };
}
