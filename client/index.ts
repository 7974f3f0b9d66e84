/**
 * The package's `durable-alipay/client`: what checkout calls. It loads neither the HTTP server nor a worker. The other
 * inputs and results of workflows (`PaymentResult` …) are in `durable-alipay/messages`.
 */
export * from './payment-client';
export type {
  CloseOrderInput,
  PaymentState,
  ResolveRefund,
  ResolveReview,
  StoredPaymentStatus,
} from '../workflows/messages';
export type { NotificationBody } from '../activities/alipay/notification';
export type { Observer } from './observer';
export type { RefundFilter } from '../db/refunds';
export type { Resending } from './results';
export type { FollowUps } from './follow-up';
export type { CorrectedMerchant, MerchantCorrection } from '../db/merchants';
export type { Recovery } from '../db/recovery';
export type { MessageDecision, OrderMessage } from '../db/order-messages';
export type { Order } from '../db/orders';
export type { PaymentEvent } from '../db/payment-events';
export type { Payment } from '../db/payments';
export type { Pause, PauseKind } from '../db/pauses';
export type { NotifyAnswer } from './notifications';
export type { PauseInput, Pauses } from './pauses';
export type { RefundInput, RefundView } from './refunds';
export type { UnmatchedNotification, UnmatchedResolution } from '../db/unmatched-notifications';
export type { ReconciliationReport, Reconciliations, WatchBill, WhichBill } from './reconciliations';
export type { ReconciliationRow } from '../db/reconciliations';
export type { ListDecided, ListDecision, ListedDecision } from './review-lists';
export type { ScheduleControl, ScheduleState } from './schedules';
export type { AuditResult, Audits, Proofs } from './audits';
export type { InstalledSchedules, LastSweep, ReportOptions, SweepChanges, Sweeps, WatchSweep } from './sweep';
export type { Checkout, CheckoutInput, OrderInput } from './checkout';
export type { PaymentSettings } from './dependencies';
export type { CancelInput, Health, ListedMerchant, PaymentRun, ReturnedPayment } from './operations';
export { PaymentError } from '../workflows/errors';
export type { ErrorCode } from '../workflows/errors';
