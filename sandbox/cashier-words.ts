import type { Language } from './language';
import type { TradeStatus } from './trade';

/** The cashier's texts in one language. */
export interface CashierWords {
  brand: string;
  noMoney: string;
  other: string;
  titles: { order: string; paid: string; left: string; refused: string };
  order: string;
  trade: string;
  status: string;
  timeLeft: string;
  notScanned: string;
  noLimit: string;
  expired: string;
  until: string;
  day: string;
  pay: string;
  payLoseNotify: string;
  leave: string;
  scan: string;
  paid: string;
  lost: string;
  back: string;
  left: string;
  unchanged: string;
  again: string;
  refused: string;
  code: string;
  said: string;
  states: Record<TradeStatus, string>;
}

/** The texts of the cashier. `{…}` is replaced. */
export const CASHIER_WORDS: Record<Language, CashierWords> = {
  en: {
    brand: 'Alipay sandbox',
    noMoney: 'no real money',
    other: '中文',
    titles: { order: 'Cashier', paid: 'Paid', left: 'Left', refused: 'Refused' },
    order: 'Order',
    trade: 'Trade',
    status: 'Status',
    timeLeft: 'Time left',
    notScanned: 'none yet: not scanned',
    noLimit: 'no limit until scanned',
    expired: 'expired',
    until: 'until {time} (Beijing)',
    day: 'd',
    pay: 'Pay',
    payLoseNotify: 'Pay, but lose the notification',
    leave: 'Leave',
    scan: 'Scan only: creates the trade',
    paid: 'Payment successful',
    lost: 'Its notification is lost: the shop must find out on its own.',
    back: 'Back to the shop',
    left: 'You left without paying',
    unchanged: 'Order {order} stays as it was.',
    again: 'Open the cashier again',
    refused: 'This cannot be paid',
    code: 'Code',
    said: 'What Alipay says',
    states: {
      WAIT_BUYER_PAY: 'waiting for payment',
      TRADE_SUCCESS: 'paid',
      TRADE_FINISHED: 'finished',
      TRADE_CLOSED: 'closed',
    },
  },
  zh: {
    brand: '支付宝沙箱',
    noMoney: '不涉及真实资金',
    other: 'English',
    titles: { order: '收银台', paid: '支付成功', left: '未付款', refused: '无法付款' },
    order: '订单号',
    trade: '交易号',
    status: '交易状态',
    timeLeft: '剩余时间',
    notScanned: '尚未创建：买家还未扫码',
    noLimit: '扫码前不限时',
    expired: '已超时',
    until: '截止 {time}（北京时间）',
    day: '天',
    pay: '确认付款',
    payLoseNotify: '付款，但丢失异步通知',
    leave: '离开，不付款',
    scan: '只扫码：创建交易，暂不付款',
    paid: '支付成功',
    lost: '异步通知已丢失：商户只能自己查询。',
    back: '返回商户',
    left: '您已离开，未付款',
    unchanged: '订单 {order} 保持不变。',
    again: '重新打开收银台',
    refused: '无法付款',
    code: '错误码',
    said: '支付宝返回的说明',
    states: {
      WAIT_BUYER_PAY: '等待付款',
      TRADE_SUCCESS: '已付款',
      TRADE_FINISHED: '已完结',
      TRADE_CLOSED: '已关闭',
    },
  },
};
