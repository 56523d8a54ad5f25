/** Gives space back in the background. Not for the HTTP doors. */
export declare class Reaper {
  /** Resolves when nothing is left to free (for tests). */
  idle(): Promise<void>
}
