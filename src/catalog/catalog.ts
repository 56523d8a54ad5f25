export declare class Catalog {}
