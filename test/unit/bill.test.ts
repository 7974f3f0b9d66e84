import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openArchive } from '../../activities/bills/archive';
import { downloadBill } from '../../activities/bills/download';
import type { BillTotals } from '../../activities/bills/read-bill';
import { checkSummary, readDetail } from '../../activities/bills/read-bill';
import type { BillLine } from '../../db/bill-lines';
import { encodeGbk } from '../../sandbox/gbk';
import { zipOf } from '../../sandbox/zip';

const BILL = { sellerId: '2088000000000000', date: '2019-09-16' };

const HEADER =
  '支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,' +
  '支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,' +
  '服务费（元）,分润（元）,备注';

const line = (
  name = '下单测试',
  { kind = '交易', amount = '12.30', requestNo = '\t', remark = '' } = {},
): string =>
  `2019091622001458860515315453\t,A1001x1\t,${kind}\t,${name},2019-09-16 10:55:16,2019-09-16 10:56:48,shop\t,shop\t,alipay\t,\t,` +
  `*某(602***@qq.com)\t,${amount},${amount},0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,${requestNo},-0.07,0.00,${remark}`;

const REFUND = line('下单测试', { kind: '退款', amount: '-2.30', requestNo: 'R1' });

/** A detail as Alipay writes it, with a test's changes. */
const detail = ({
  lines = [line(), REFUND],
  header = HEADER,
  account = '[20880000000000000156]',
  from = '2019年09月16日',
  end = '#-----业务明细列表结束-----',
  foot = [
    '#交易合计：1笔，商家实收共12.30元，商家优惠共0.00元',
    '#退款合计：1笔，商家实收退款共-2.30元，商家优惠退款共0.00元',
  ],
} = {}): Buffer =>
  encodeGbk(
    [
      '#支付宝业务明细查询',
      `#账号：${account}`,
      `#起始日期：[${from} 00:00:00]   终止日期：[2019年09月17日 00:00:00]`,
      '#-----业务明细列表-----',
      header,
      ...lines,
      end,
      ...foot,
      '#导出时间：[2019年09月17日 05:46:49]',
      '',
    ].join('\r\n'),
  );

const summary = (row = '合计,,1,1,10.00,10.00,0.00,0.00,0.00,-0.07,0.00,9.93', header?: string): Buffer =>
  encodeGbk(
    [
      '#支付宝业务汇总查询',
      '#账号：[20880000000000000156]',
      '#起始日期：[2019年09月16日 00:00:00]   终止日期：[2019年09月17日 00:00:00]',
      header ??
        '门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）',
      row,
      '#-----业务汇总列表结束-----',
      '',
    ].join('\r\n'),
  );

/** Three bytes at a time, so that a two-byte character is cut in the middle. */
function* crumbs(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 3) yield bytes.subarray(at, at + 3);
}

async function read(bytes: Buffer): Promise<{ lines: BillLine[]; totals: BillTotals }> {
  const reading = readDetail(Readable.from(crumbs(bytes)), BILL);
  const lines: BillLine[] = [];
  for (;;) {
    const next = await reading.next();
    if (next.done) return { lines, totals: next.value };
    lines.push(...next.value);
  }
}

describe('the detail of a bill', () => {
  it('is read to the fen, tabs and all', async () => {
    const { lines, totals } = await read(detail());
    expect(lines).toEqual([
      {
        line: 1,
        kind: 'payment',
        tradeNo: '2019091622001458860515315453',
        outTradeNo: 'A1001x1',
        outRequestNo: null,
        amount: '12.30',
        received: '12.30',
        fee: '-0.07',
        doneAt: new Date('2019-09-16T02:56:48Z'),
      },
      expect.objectContaining({
        line: 2,
        kind: 'refund',
        outRequestNo: 'R1',
        amount: '2.30',
        received: '-2.30',
      }),
    ]);
    expect(totals).toEqual({ payments: { count: 1, fen: 1_230 }, refunds: { count: 1, fen: -230 } });
  });

  it.each([
    ...['红茶,绿茶', '19" 显示器', '"引号', ',,,', '2019-09-16 10:55:16 的茶', '#1 茶'],
    '茶,2019-09-16 10:55:16,2019-09-16 10:55:17',
  ])('survives the name of a product: %s', async (name) => {
    for (const remark of ['', '少糖,热']) {
      const { lines } = await read(detail({ lines: [line(name, { remark }), REFUND] }));
      expect(lines[0]).toMatchObject({
        outTradeNo: 'A1001x1',
        amount: '12.30',
        outRequestNo: null,
        fee: '-0.07',
        doneAt: new Date('2019-09-16T02:56:48Z'),
      });
    }
  });

  it('has no number of a refund that was made without one', async () => {
    const unnumbered = line('下单测试', { kind: '退款', amount: '-2.30' });
    const { lines } = await read(detail({ lines: [line(), unnumbered] }));
    expect(lines[1]).toMatchObject({ kind: 'refund', outRequestNo: null, amount: '2.30' });
  });

  it('keeps a line of an unknown kind that names no order, and refuses a payment that names none', async () => {
    const nameless = (kind: string) => line('x', { kind }).replace('A1001x1', '');
    const { lines } = await read(detail({ lines: [line(), REFUND, nameless('转账')] }));
    expect(lines[2]).toMatchObject({ kind: 'other', outTradeNo: '' });
    for (const kind of ['交易', '退款'])
      await expect(read(detail({ lines: [nameless(kind)] }))).rejects.toThrow(/line 1 is not understood/);
  });

  it('is read by the names of its columns, wherever they stand, and keeps a kind that it does not know', async () => {
    const header = HEADER.replaceAll('（元）', '(元)').replace('服务费(元),分润(元)', '分润(元),服务费(元)');
    const lines = [line(), REFUND, line('x', { kind: '转账' })];
    const found = await read(detail({ header, lines }));
    expect(found.lines.map(({ kind, fee }) => [kind, fee])).toEqual([
      ['payment', '0.00'],
      ['refund', '0.00'],
      ['other', '0.00'],
    ]);
  });

  it('is read to its end where that has no line break, and where its lines end otherwise', async () => {
    const written = new TextDecoder('gbk').decode(detail());
    const changed = encodeGbk(written.replaceAll('\r\n', '\n').trimEnd());
    expect(await read(changed)).toEqual(await read(detail()));
    const cut = written.slice(0, written.indexOf('#导出时间')).trimEnd();
    expect(await read(encodeGbk(cut))).toEqual(await read(detail()));
  });

  it('of a day on which nothing was sold has no lines', async () => {
    const foot = [
      '#交易合计：0笔，商家实收共0.00元，商家优惠共0.00元',
      '#退款合计：0笔，商家实收退款共0.00元，商家优惠退款共0.00元',
    ];
    const nothing = { count: 0, fen: 0 };
    expect(await read(detail({ lines: [], foot }))).toEqual({
      lines: [],
      totals: { payments: nothing, refunds: nothing },
    });
  });

  it('is handed on in parts where it is long', async () => {
    const foot = [
      '#交易合计：5000笔，商家实收共61500.00元，商家优惠共0.00元',
      '#退款合计：0笔，商家实收退款共0.00元，商家优惠退款共0.00元',
    ];
    const long = detail({ lines: Array<string>(5_000).fill(line()), foot });
    const end = long.lastIndexOf('#-----');
    const parts: number[] = [];
    for await (const lines of readDetail(Readable.from([long.subarray(0, end), long.subarray(end)]), BILL))
      parts.push(lines.length);
    expect(parts).toEqual([5_000]);
  });

  it('without a fee in a line has none', async () => {
    const { lines } = await read(detail({ lines: [line().replace('-0.07', ''), REFUND] }));
    expect(lines[0]?.fee).toBe('0.00');
  });

  it.each([
    ["another account's", { account: '[20880000000000010156]' }, /another account/],
    ["another day's", { from: '2019年09月15日' }, /another day/],
    ['without its day', { from: '' }, /another day/],
    ['without a column', { header: HEADER.replace('订单金额（元）,', '') }, /no column 订单金额\(元\)/],
    ['that ends early', { end: '', foot: [] }, /end is missing/],
    ['without its totals', { foot: [] }, /totals are missing/],
    ['with a line that says nothing', { lines: ['a,b,c'] }, /line 1 is not understood/],
    ['with an amount that is none', { lines: [line('x', { amount: '12.3a' })] }, /line 1 is not understood/],
  ])('%s is refused', async (_what, changes, why) => {
    await expect(read(detail(changes))).rejects.toMatchObject({
      code: 'BILL_UNREADABLE',
      message: expect.stringMatching(why) as unknown,
    });
  });

  it('of no bytes is refused', async () => {
    await expect(read(Buffer.alloc(0))).rejects.toThrow(/it is empty/);
  });

  it('in another encoding is refused', async () => {
    const utf8 = Buffer.from(new TextDecoder('gbk').decode(detail()));
    await expect(read(utf8)).rejects.toMatchObject({ code: 'BILL_UNREADABLE' });
  });

  it('with a line without an end is refused, and not kept in memory', async () => {
    await expect(read(Buffer.alloc(200_000, 'a'))).rejects.toThrow(/line without an end/);
  });

  it.each([
    [
      'sum',
      {
        foot: [
          '#交易合计：1笔，商家实收共12.31元，商家优惠共0.00元',
          '#退款合计：1笔，商家实收退款共-2.30元，',
        ],
      },
    ],
    [
      'count',
      {
        foot: [
          '#交易合计：2笔，商家实收共12.30元，商家优惠共0.00元',
          '#退款合计：1笔，商家实收退款共-2.30元，',
        ],
      },
    ],
    ['line missing', { lines: [line()] }],
    ['line twice', { lines: [line(), line(), REFUND] }],
  ])('whose foot has another %s is not used', async (_what, changes) => {
    await expect(read(detail(changes))).rejects.toMatchObject({ code: 'BILL_NOT_TIED' });
  });
});

describe('the summary', () => {
  const totals = { payments: { count: 1, fen: 1_230 }, refunds: { count: 1, fen: -230 } };
  const check = (bytes: Buffer) => checkSummary(Readable.from(crumbs(bytes)), BILL, totals);

  it('ties', async () => {
    await expect(check(summary())).resolves.toBeUndefined();
  });

  it.each([
    ['another count', '合计,,2,1,10.00,10.00,0.00,0.00,0.00,0.00,0.00,10.00', 'BILL_NOT_TIED'],
    ['another sum', '合计,,1,1,10.01,10.01,0.00,0.00,0.00,0.00,0.00,10.01', 'BILL_NOT_TIED'],
    ['no total', ',,1,1,10.00,10.00,0.00,0.00,0.00,0.00,0.00,10.00', 'BILL_UNREADABLE'],
  ])('with %s does not', async (_what, row, code) => {
    await expect(check(summary(row))).rejects.toMatchObject({ code });
  });
});

describe('the archive', () => {
  let folder: string;
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'bill-test-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  async function archive(
    files: Record<string, Buffer>,
    change: (zip: Buffer) => Buffer = (zip) => zip,
    inBytes: (name: string) => Buffer = encodeGbk,
  ): Promise<string> {
    const chunks: Buffer[] = [];
    const entries = Object.entries(files).map(([name, content]) => ({
      name: inBytes(name),
      content: [content],
    }));
    for await (const chunk of zipOf(entries)) chunks.push(chunk);
    const path = join(folder, `${Object.keys(files).length}-${chunks.length}-${Math.random()}.zip`);
    writeFileSync(path, change(Buffer.concat(chunks)));
    return path;
  }

  const GOOD = { '20880_20190916_业务明细.csv': detail(), '20880_20190916_业务明细(汇总).csv': summary() };

  const readAll = async (content: AsyncIterable<Buffer>): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    for await (const chunk of content) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  it('has its names in GBK, and its files are told apart', async () => {
    const opened = await openArchive(await archive(GOOD));
    expect(await readAll(await opened.detail())).toEqual(detail());
    expect(await readAll(await opened.summary())).toEqual(summary());
    opened.close();
  });

  it('may have its names in UTF-8, where it says so', async () => {
    const saysSo = (zip: Buffer): Buffer => {
      for (let at = 0; (at = zip.indexOf('PK\x01\x02', at, 'latin1')) >= 0; at += 4)
        zip.writeUInt16LE(zip.readUInt16LE(at + 8) | 0x800, at + 8);
      return zip;
    };
    const opened = await openArchive(await archive(GOOD, saysSo, (name) => Buffer.from(name)));
    expect(await readAll(await opened.summary())).toEqual(summary());
    opened.close();
    const unsaid = await openArchive(await archive(GOOD, undefined, (name) => Buffer.from(name)));
    expect(() => unsaid.detail()).toThrow(/no detail/);
    unsaid.close();
  });

  it.each([
    ['../../etc/cron.d/业务明细.csv'],
    ['/etc/业务明细.csv'],
    ['C:\\业务明细.csv'],
    ['folder/业务明细.csv'],
    ['..'],
  ])('with a file named %s is refused', async (name) => {
    await expect(openArchive(await archive({ ...GOOD, [name]: detail() }))).rejects.toMatchObject({
      code: 'BILL_UNREADABLE',
      message: expect.stringContaining('a path') as unknown,
    });
  });

  it('of many files is refused before they are looked at', async () => {
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`${n}.csv`, Buffer.from('x')]));
    await expect(openArchive(await archive(many))).rejects.toThrow(/has 5000 files/);
  });

  it('with a file that says that it is too large is refused', async () => {
    await expect(openArchive(await archive(GOOD), 100)).rejects.toThrow(/has \d+ bytes/);
  });

  it('with a file that is larger than it says ends with an error: a bomb', async () => {
    const bomb = { ...GOOD, '20880_20190916_业务明细.csv': Buffer.alloc(50_000_000) };
    // The size in the directory, after the signature of its first entry.
    const lied = (zip: Buffer): Buffer => {
      zip.writeUInt32LE(1_000, zip.indexOf('PK\x01\x02', 0, 'latin1') + 24);
      return zip;
    };
    const opened = await openArchive(await archive(bomb, lied));
    await expect(readAll(await opened.detail())).rejects.toMatchObject({ code: 'BILL_UNREADABLE' });
    opened.close();
  });

  it.each([
    ['half of it', (zip: Buffer) => zip.subarray(0, zip.length / 2)],
    ['nothing of it', () => Buffer.alloc(0)],
    ['a page', () => Buffer.from('<html>下载超时</html>')],
  ])('of which there is %s is refused', async (_what, change) => {
    await expect(openArchive(await archive(GOOD, change))).rejects.toMatchObject({ code: 'BILL_UNREADABLE' });
  });

  it('without a summary is refused', async () => {
    const opened = await openArchive(await archive({ '20880_20190916_业务明细.csv': detail() }));
    expect(() => opened.summary()).toThrow(/no summary/);
    opened.close();
  });
});

describe('the download', () => {
  let server: Server;
  let origin: string;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'bill-download-'));
    server = createServer(({ url }, response) => {
      if (url === '/moved') response.writeHead(302, { location: '/zip' }).end();
      else if (url === '/page') response.end('<html>下载超时</html>');
      else if (url === '/gone') response.writeHead(404).end();
      else if (url === '/drip') response.write('PK\x03\x04');
      else if (url === '/broken') response.write('PK\x03\x04', () => response.destroy());
      else response.end(Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), Buffer.alloc(10_000)]));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  const download = (path: string, options: { maxBytes?: number; deadlineMs?: number } = {}) =>
    downloadBill(`${origin}${path}`, join(folder, 'bill.zip'), { origins: [origin], ...options });

  it('takes an archive', async () => {
    await expect(download('/zip')).resolves.toBeUndefined();
  });

  it.each([
    ['an address that has expired', '/page', {}, /may have expired/],
    ['one that is gone', '/gone', {}, /HTTP 404/],
    ['one that leads elsewhere', '/moved', {}, /HTTP 302/],
    ['more than is allowed', '/zip', { maxBytes: 5_000 }, /more than 5000 bytes/],
    ['an answer that breaks off', '/broken', {}, /the download broke off/],
    ['an answer that does not end', '/drip', { deadlineMs: 300 }, /within 300 ms/],
  ])('refuses %s', async (_what, path, options, why) => {
    await expect(download(path, options)).rejects.toMatchObject({
      code: 'BILL_UNREADABLE',
      message: expect.stringMatching(why) as unknown,
    });
  });

  it.each([
    'http://169.254.169.254/latest',
    'https://dwbillcenter.alipay.com.evil.example/x',
    'file:///etc/passwd',
    '',
  ])('fetches nothing from %s', async (url) => {
    await expect(downloadBill(url, join(folder, 'x'), { origins: [origin] })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('BILL_ORIGINS') as unknown,
    });
  });
});
