export declare class Engine {}
