/** The layer tree. Not for the HTTP doors. */
export declare class Tree {}
