/** How the sandbox's time follows real time: at `real` it was `virtual`; since then it runs `scale` times as fast. */
export interface ClockEvent {
  type: 'clock';
  virtual: number;
  real: number;
  scale: number;
}

interface Appointment {
  at: number;
  act: () => void;
  timer?: NodeJS.Timeout;
}

/** Node fires a longer timer immediately. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** The sandbox's time, which a test can speed up or move forward. It never runs backwards. */
export class Clock {
  readonly #appointments = new Set<Appointment>();
  readonly #listeners: ((event: ClockEvent) => void)[] = [];
  #set: Pick<ClockEvent, 'virtual' | 'real' | 'scale'> = { virtual: 0, real: 0, scale: 1 };

  /** Sandbox time, epoch ms. Real time is read at every use, so that a test's fake clock takes effect. */
  readonly now = (): number => {
    const { virtual, real, scale } = this.#set;
    return Math.floor(virtual + (Date.now() - real) * scale);
  };

  get scale(): number {
    return this.#set.scale;
  }

  /** Calls `listener` after every change, for the state file. */
  onChange(listener: (event: ClockEvent) => void): void {
    this.#listeners.push(listener);
  }

  /** Jumps ahead by `advanceMs`, then runs `scale` times as fast. What falls due then happens. */
  change({ scale = this.scale, advanceMs = 0 }: { scale?: number; advanceMs?: number }): void {
    this.#become({ virtual: this.now() + advanceMs, real: Date.now(), scale });
  }

  /** Makes sandbox time real time again. */
  reset(): void {
    this.#become({ virtual: 0, real: 0, scale: 1 });
  }

  /** Applies a past change. */
  restore({ virtual, real, scale }: ClockEvent): void {
    this.#set = { virtual, real, scale };
  }

  /** Calls `act` when `ms` of sandbox time have passed. @returns a function that cancels it */
  later(ms: number, act: () => void): () => void {
    const appointment = { at: this.now() + ms, act };
    this.#appointments.add(appointment);
    this.#arm(appointment);
    return () => this.#cancel(appointment);
  }

  /** Cancels every appointment. */
  close(): void {
    for (const appointment of this.#appointments) this.#cancel(appointment);
  }

  #become(set: Pick<ClockEvent, 'virtual' | 'real' | 'scale'>): void {
    this.#set = set;
    for (const listener of this.#listeners) listener({ type: 'clock', ...set });
    for (const appointment of this.#appointments) this.#arm(appointment);
  }

  #arm(appointment: Appointment): void {
    clearTimeout(appointment.timer);
    const wait = Math.max(0, (appointment.at - this.now()) / this.scale);
    appointment.timer = setTimeout(
      () => {
        if (this.now() < appointment.at) {
          this.#arm(appointment);
          return;
        }
        this.#appointments.delete(appointment);
        appointment.act();
      },
      Math.min(Math.ceil(wait), TIMER_MAX_MS),
    );
  }

  #cancel(appointment: Appointment): void {
    clearTimeout(appointment.timer);
    this.#appointments.delete(appointment);
  }
}
