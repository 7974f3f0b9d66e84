// The ledger: orders, their payments, and what the order service must be told. All constraints that keep money right
// whatever the code does are here: closed sets of statuses, positive amounts, one PAID payment per order.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE orders (
      id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{1,64}$'),
      subject text NOT NULL,
      total_amount numeric(12,2) NOT NULL CHECK (total_amount > 0),
      status text NOT NULL DEFAULT 'UNPAID' CHECK (status IN ('UNPAID', 'PAID', 'CLOSED')),
      close_by text NOT NULL DEFAULT 'sweep' CHECK (close_by IN ('sweep', 'timer')),
      created_at timestamptz NOT NULL DEFAULT now(),
      expires_at timestamptz NOT NULL,
      paid_at timestamptz,
      closed_at timestamptz
    );
    COMMENT ON TABLE orders IS 'What the shop sells. Only durable-alipay writes status; a shop cancels by closeOrder.';
    CREATE INDEX orders_unpaid_by_expiry ON orders (expires_at, id) WHERE status = 'UNPAID';

    CREATE TABLE payments (
      out_trade_no text PRIMARY KEY CHECK (out_trade_no ~ '^[A-Za-z0-9_]{1,64}$'),
      order_id text NOT NULL REFERENCES orders (id),
      product text NOT NULL DEFAULT 'page' CHECK (product IN ('page', 'wap', 'precreate')),
      total_amount numeric(12,2) NOT NULL CHECK (total_amount > 0),
      status text NOT NULL DEFAULT 'UNPAID'
        CHECK (status IN ('UNPAID', 'PAID', 'CLOSED', 'REFUNDING', 'REFUNDED', 'REVIEW')),
      trade_no text,
      checks integer NOT NULL DEFAULT 0 CHECK (checks >= 0),
      time_expire timestamptz,
      callback_time timestamptz,
      callback_content jsonb,
      review_reason text,
      refunded_amount numeric(12,2) NOT NULL DEFAULT 0 CHECK (refunded_amount >= 0),
      recheck_at timestamptz,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      closed_at timestamptz,
      refunded_at timestamptz
    );
    COMMENT ON TABLE payments IS 'One attempt to pay an order: one out_trade_no at Alipay, one workflow.';
    COMMENT ON COLUMN payments.time_expire IS 'Sent to Alipay at checkout and never recomputed: a reopened cashier must get the same parameters.';
    COMMENT ON COLUMN payments.recheck_at IS 'When Alipay is to be asked once more although the row is settled here.';
    COMMENT ON COLUMN payments.callback_content IS 'The verified body that proved the payment. Holds buyers'' data: it never leaves Postgres but by the HTTP API.';
    CREATE UNIQUE INDEX payments_one_paid_per_order ON payments (order_id) WHERE status = 'PAID';
    CREATE INDEX payments_by_order ON payments (order_id, created_at);
    CREATE INDEX payments_unpaid ON payments (order_id) WHERE status = 'UNPAID';
    CREATE INDEX payments_recheck ON payments (recheck_at) WHERE recheck_at IS NOT NULL;
    CREATE INDEX payments_unsettled ON payments (status, updated_at)
      WHERE status IN ('REFUNDING', 'REVIEW') OR review_reason IS NOT NULL;

    CREATE TABLE order_messages (
      id text PRIMARY KEY DEFAULT CAST(gen_random_uuid() AS text),
      order_id text NOT NULL REFERENCES orders (id),
      out_trade_no text REFERENCES payments (out_trade_no),
      status text NOT NULL CHECK (status IN ('PAID', 'CLOSED', 'REFUNDED')),
      amount numeric(12,2) NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      told_at timestamptz
    );
    COMMENT ON TABLE order_messages IS 'Outbox to the order service, written in the transaction of the change that it tells of.';
    COMMENT ON COLUMN order_messages.id IS 'Says what is told (PAID-<outTradeNo>), so that a result recorded again after a restored backup keeps its id and is acted on once.';
    CREATE INDEX order_messages_untold ON order_messages (created_at) WHERE told_at IS NULL;
    CREATE INDEX order_messages_by_order ON order_messages (order_id);
    CREATE INDEX order_messages_by_payment ON order_messages (out_trade_no);

    CREATE TABLE order_log (
      message_id text PRIMARY KEY,
      order_id text NOT NULL,
      out_trade_no text,
      status text NOT NULL,
      at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE order_log IS 'The order service''s own memory: a message that stands here has been acted on.';
    CREATE INDEX order_log_by_order ON order_log (order_id);

    CREATE TABLE unmatched_notifications (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      out_trade_no text NOT NULL,
      notify_id text NOT NULL,
      at timestamptz NOT NULL DEFAULT now(),
      content jsonb NOT NULL,
      UNIQUE (out_trade_no, notify_id)
    );
    COMMENT ON TABLE unmatched_notifications IS 'Genuine notifications of payments that are not here (a restored backup): money without an order, for a person.';

    CREATE TABLE payment_events (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      out_trade_no text REFERENCES payments (out_trade_no),
      at timestamptz NOT NULL DEFAULT clock_timestamp(),
      actor text NOT NULL,
      event text NOT NULL,
      detail jsonb NOT NULL DEFAULT '{}'
    );
    COMMENT ON TABLE payment_events IS 'What happened to each payment, and the verified evidence. Append-only.';
    CREATE INDEX payment_events_by_payment ON payment_events (out_trade_no, id);
    CREATE UNIQUE INDEX payment_events_one_per_notification
      ON payment_events (out_trade_no, (detail ->> 'notify_id')) WHERE event = 'notified';

    CREATE TABLE alipay_quota (
      app_id text PRIMARY KEY,
      next_at timestamptz NOT NULL
    );
    COMMENT ON TABLE alipay_quota IS 'When the next call of Alipay may leave, for all workers together.';

    CREATE FUNCTION payment_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'payment_events is append-only';
    END $$;
    CREATE TRIGGER payment_events_append_only BEFORE UPDATE OR DELETE ON payment_events
      FOR EACH STATEMENT EXECUTE FUNCTION payment_events_append_only();
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DROP TABLE payment_events;
    DROP FUNCTION payment_events_append_only();
    DROP TABLE alipay_quota;
    DROP TABLE unmatched_notifications;
    DROP TABLE order_log;
    DROP TABLE order_messages;
    DROP TABLE payments;
    DROP TABLE orders;
  `);
}
