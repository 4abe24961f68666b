/** Types of honeyguide.js. */
export interface HoneyguideSettings {
  /** Where the service is; the script's own origin by default. */
  url?: string;
  /** A key with the scope `collect`, and no other: whoever sees the page can read it. */
  key?: string | null;
  /** Who the visitor is; an anonymous id in localStorage by default. */
  userId?: string | null;
}

/** The page of `/v1/decide` that showed an item, and the place there, from 1. */
export interface HoneyguidePage {
  decisionId?: string;
  position?: number;
}

/** Whether it will be sent: not without consent, under Do Not Track, or a second time for one page. */
export type HoneyguideTold = boolean;

export interface Honeyguide {
  configure(settings: HoneyguideSettings): void;
  /** Remembers the visitor's answer; a no forgets the anonymous id and what waits. Says whether anything is sent now. */
  consent(given: boolean): boolean;
  /** Whom to name to `/v1/decide`; null where nothing may be kept. */
  userId(): string | null;
  view(itemId: string, page?: HoneyguidePage): HoneyguideTold;
  click(itemId: string, page?: HoneyguidePage): HoneyguideTold;
  cart(itemId: string, page?: HoneyguidePage): HoneyguideTold;
  dismiss(itemId: string, page?: HoneyguidePage): HoneyguideTold;
  impression(itemId: string, page?: HoneyguidePage): HoneyguideTold;
  search(query: string): HoneyguideTold;
  /** Tells clicks, and impressions once half is seen, of elements with `data-honeyguide-item`, `-decision`, `-position`. */
  observe(root?: Document | Element): void;
  /** Sends what waits now. */
  flush(): void;
}

declare global {
  interface Window {
    honeyguide: Honeyguide;
  }
  const honeyguide: Honeyguide;
}
