/** What the two NBD doors show (design: the unix socket is the operator's door, TCP the tenants'). Not for the HTTP doors. */
export declare class Exports {}
