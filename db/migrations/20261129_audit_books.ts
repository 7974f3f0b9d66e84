// The books prove themselves: what the last audit has found, how far it has read, what proves a refund, and the keys
// that verify evidence.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE audits (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      created_at timestamptz NOT NULL DEFAULT now(),
      seen_event bigint NOT NULL DEFAULT 0,
      audited_at timestamptz,
      whole_at timestamptz
    );
    COMMENT ON TABLE audits IS 'One row: how far the audit of the books has come.';
    COMMENT ON COLUMN audits.seen_event IS 'Of payment_events, the last id that an audit has looked at: what moved since is audited next.';
    COMMENT ON COLUMN audits.whole_at IS 'When all orders were last audited, not only those that had moved.';
    INSERT INTO audits DEFAULT VALUES;

    CREATE TABLE audit_violations (
      name text NOT NULL,
      order_id text NOT NULL,
      out_trade_no text NOT NULL,
      amount numeric(14,2) NOT NULL,
      since timestamptz NOT NULL,
      found_at timestamptz NOT NULL DEFAULT now(),
      seen_at timestamptz NOT NULL DEFAULT now(),
      gone_at timestamptz,
      PRIMARY KEY (name, order_id, out_trade_no)
    );
    COMMENT ON TABLE audit_violations IS 'Where the books contradict themselves, each once; an audit that finds it no more says when it was gone.';
    COMMENT ON COLUMN audit_violations.out_trade_no IS 'Empty where it is the order''s alone.';
    COMMENT ON COLUMN audit_violations.amount IS 'Yuan that are not explained meanwhile.';
    COMMENT ON COLUMN audit_violations.since IS 'As old as the fact is.';
    CREATE INDEX audit_violations_open ON audit_violations (name) WHERE gone_at IS NULL;

    ALTER TABLE evidence
      DROP CONSTRAINT evidence_kind_check,
      ADD CONSTRAINT evidence_kind_check CHECK (kind IN ('notification', 'answer', 'refund'));
    COMMENT ON COLUMN evidence.kind IS 'answer: to a query of the trade. refund: to a refund, or a query of one, that proves it.';
    CREATE UNIQUE INDEX evidence_one_per_refund ON evidence (out_trade_no, digest) WHERE kind = 'refund';

    CREATE TABLE alipay_keys (
      fingerprint text PRIMARY KEY,
      public_key text NOT NULL,
      certificate text,
      certificate_sn text,
      first_seen_at timestamptz NOT NULL DEFAULT now(),
      CONSTRAINT alipay_keys_certified_wholly CHECK (num_nulls(certificate, certificate_sn) IN (0, 2))
    );
    COMMENT ON TABLE alipay_keys IS 'The keys by which bodies of Alipay were verified, so that they can be verified when the settings have others. Append-only.';
    COMMENT ON COLUMN alipay_keys.fingerprint IS 'As in evidence.key_fingerprint: SHA-256 of the key (SPKI DER), hexadecimal.';
    COMMENT ON COLUMN alipay_keys.public_key IS 'PEM.';
    COMMENT ON COLUMN alipay_keys.certificate_sn IS 'alipay_cert_sn, in certificate mode.';
    CREATE FUNCTION alipay_keys_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'alipay_keys is append-only';
    END $$;
    CREATE TRIGGER alipay_keys_append_only BEFORE UPDATE OR DELETE ON alipay_keys
      FOR EACH STATEMENT EXECUTE FUNCTION alipay_keys_append_only();
  `);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
    DELETE FROM evidence WHERE kind = 'refund';
    DROP INDEX evidence_one_per_refund;
    ALTER TABLE evidence
      DROP CONSTRAINT evidence_kind_check,
      ADD CONSTRAINT evidence_kind_check CHECK (kind IN ('notification', 'answer'));
    DROP TABLE alipay_keys;
    DROP FUNCTION alipay_keys_append_only();
    DROP TABLE audit_violations;
    DROP TABLE audits;
  `);
}
