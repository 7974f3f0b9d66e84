import type { Finding } from './doctor/examination';
import { Examination } from './doctor/examination';
import { examineEnvironment, examineKeys } from './doctor/configuration';
import { examineDatabase } from './doctor/database';
import { examineInstallation } from './doctor/installation';
import { examineGateway } from './doctor/gateway';
import { examineNotifyUrl } from './doctor/notify-url';
import { examineTemporal } from './doctor/temporal';

export type { Finding, Verdict } from './doctor/examination';

export interface DiagnosisOptions {
  /** Also send an unsigned notification to the notify URL. */
  notify?: boolean;
  /** Called with each finding as it comes. */
  tell?: (finding: Finding) => void;
  /** This machine's clock, epoch ms. */
  now?: () => number;
  /** How long one check may take, ms. Default 10,000. */
  deadlineMs?: number;
}

/** {@link diagnose}, with the environment of this process. */
export type Diagnose = (options: DiagnosisOptions) => Promise<Finding[]>;

/**
 * Examines everything that the application needs, and changes nothing. Each check says what is wrong and what to do; a
 * check that depends on a failed one is `skipped`.
 *
 * @param env usually `process.env`
 */
export async function diagnose(
  env: NodeJS.ProcessEnv,
  { notify = false, tell = () => undefined, now = Date.now, deadlineMs = 10_000 }: DiagnosisOptions = {},
): Promise<Finding[]> {
  const exam = new Examination({ tell, deadlineMs });
  try {
    const settings = await examineEnvironment(exam, env);
    const [own, ...others] = settings.merchants ?? [undefined];
    const keys = await examineKeys(exam, own);
    const database = await examineDatabase(exam, settings, now);
    const home = await examineTemporal(exam, settings);
    await examineInstallation(exam, settings, { database, home });
    await examineGateway(exam, own, keys, now);
    await examineNotifyUrl(exam, own, { notify });
    for (const merchant of others) {
      await examineGateway(exam, merchant, await examineKeys(exam, merchant), now);
      await examineNotifyUrl(exam, merchant, { notify });
    }
  } finally {
    await exam.end();
  }
  return exam.findings;
}
