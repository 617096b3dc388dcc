-- A store of version 3 (0.3.0), as the code of commit d11a1b7 writes it.
BEGIN TRANSACTION;
CREATE TABLE cuckooml_analysis (
	number INTEGER NOT NULL, 
	analysis TEXT NOT NULL, 
	order_key TEXT NOT NULL, 
	host TEXT NOT NULL, 
	host_version TEXT NOT NULL, 
	sha256 TEXT, 
	target TEXT NOT NULL, 
	analysed_at TEXT, 
	machine TEXT NOT NULL, 
	tags TEXT NOT NULL, 
	submitter TEXT NOT NULL, 
	source_key TEXT, 
	source_path TEXT, 
	source_size BIGINT, 
	source_mtime_ns BIGINT, 
	digest TEXT NOT NULL, 
	token_count INTEGER NOT NULL, 
	has_behaviour BOOLEAN NOT NULL, 
	stored_at TEXT NOT NULL, 
	behaviour BLOB NOT NULL, 
	PRIMARY KEY (number), 
	UNIQUE (analysis), 
	UNIQUE (order_key), 
	UNIQUE (source_key)
);
INSERT INTO "cuckooml_analysis" VALUES(1,'17','00217	17','cape','2.5','1717171717171717171717171717171717171717171717171717171717171717','a.exe','2026-01-17T10:00:00','','[]','','7a962cf1428d55af66b4618a7ff0c045edafb19940d3188deb12158970e7f001','/opt/CAPEv2/storage/analyses/17/reports/report.json',-1,1,'a657258ae976be3b945d88c8a010d66f',2,1,'2026-11-27T06:44:50.214688Z',X'01789CAB564A2CC88C4F4ECCC92956B232AAE502F2ACFC4A9C73F28B53B9724B4B522BAC720DCD01F66D0CD3');
INSERT INTO "cuckooml_analysis" VALUES(2,'sample','sample	sample','cape','2.5','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a','s.exe','2026-01-05T10:00:00','','[]','','5f628a7b7365b2553e8471132fb602a5807d9e7d2deb7568facc1918b28db52d','/data/sample.json',100,1,'faf58516b0f1a1b2014844987e177138',2,1,'2026-11-27T06:44:50.214688Z',X'01789CAB564A2CC88C4F4ECCC92956B232AAE502F2ACFC4A9C73F28B53B9724B4B522BAC8A01DD040C71');
INSERT INTO "cuckooml_analysis" VALUES(3,'18','00218	18','cape','2.5','1818181818181818181818181818181818181818181818181818181818181818','b.exe','2026-01-18T10:00:00','','[]','',NULL,NULL,NULL,NULL,'8899668283141788994e09bb53dde2f4',2,1,'2026-11-27T06:44:50.214688Z',X'01789CAB564A2CC88C4F4ECCC92956B232AAE502F2ACFC4A9C73F28B53B9724B4B522BAC720D2D00F66E0CD4');
INSERT INTO "cuckooml_analysis" VALUES(4,'19','00219	19','cape','2.5',NULL,'https://login.bank.example/','2026-01-19T10:00:00','','[]','','6957bbc2a3769054c605a520ccf102b94c47e8190a6cc96eb985ed1e5618b12f','/opt/CAPEv2/storage/analyses/19/reports/report.json',100,1,'ebd8c4b26b5c03df94ebed1bfe42a6f2',2,1,'2026-11-27T06:44:50.214688Z',X'01789CAB564A2CC88C4F4ECCC92956B232AAE502F2ACFC4A9C73F28B53B9724B4B522BAC720D2D01F66F0CD5');
INSERT INTO "cuckooml_analysis" VALUES(5,'riss-1','riss-0011	riss-1','cape','2.5',NULL,'',NULL,'','[]','','3e60f1541cb432919597708f0b931c9b0ae5f0bcaebce731122b84524bdfe2b1','/data/riss/riss-1.json',100,1,'92004578fa411597db1ceb4d8ffcfefd',1,1,'2026-11-27T06:44:50.214688Z',X'01789CAB564A2CC88C4F4ECCC92956B232ACE502F2ACFC4AFC0B52F3DC32735201A3430AA2');
CREATE TABLE cuckooml_finding (
	analysis TEXT NOT NULL, 
	model TEXT NOT NULL, 
	cluster TEXT, 
	probability FLOAT, 
	outlier_score FLOAT, 
	anomaly_score FLOAT, 
	anomalous BOOLEAN NOT NULL, 
	section TEXT NOT NULL, 
	scored_at TEXT NOT NULL, 
	PRIMARY KEY (analysis)
);
INSERT INTO "cuckooml_finding" VALUES('17','m1','c1',0.9,0.1,0.2,0,'{"schema": 1}','2026-11-27T06:44:50.264389Z');
INSERT INTO "cuckooml_finding" VALUES('sample','m1',NULL,NULL,NULL,0.99,1,'{"schema": 1}','2026-11-27T06:44:50.264389Z');
CREATE TABLE cuckooml_label (
	analysis TEXT NOT NULL, 
	source TEXT NOT NULL, 
	family TEXT NOT NULL, 
	PRIMARY KEY (analysis, source)
);
INSERT INTO "cuckooml_label" VALUES('17','host','zbot');
INSERT INTO "cuckooml_label" VALUES('17','analyst','analyst-zeus');
INSERT INTO "cuckooml_label" VALUES('riss-1','analyst','ransom');
CREATE TABLE cuckooml_meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "cuckooml_meta" VALUES('schema','3');
CREATE TABLE cuckooml_reading (
	source_key TEXT NOT NULL, 
	extraction INTEGER NOT NULL, 
	PRIMARY KEY (source_key)
);
INSERT INTO "cuckooml_reading" VALUES('7a962cf1428d55af66b4618a7ff0c045edafb19940d3188deb12158970e7f001',7);
INSERT INTO "cuckooml_reading" VALUES('5f628a7b7365b2553e8471132fb602a5807d9e7d2deb7568facc1918b28db52d',7);
INSERT INTO "cuckooml_reading" VALUES('6957bbc2a3769054c605a520ccf102b94c47e8190a6cc96eb985ed1e5618b12f',7);
INSERT INTO "cuckooml_reading" VALUES('3e60f1541cb432919597708f0b931c9b0ae5f0bcaebce731122b84524bdfe2b1',7);
CREATE TABLE cuckooml_threat_score (
	analysis TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	indicator TEXT NOT NULL, 
	score FLOAT NOT NULL, 
	PRIMARY KEY (analysis, provider, kind, indicator)
);
INSERT INTO "cuckooml_threat_score" VALUES('17','virustotal','domain','a.example',0.5);
CREATE INDEX ix_cuckooml_analysis_sha256 ON cuckooml_analysis (sha256);
CREATE INDEX ix_cuckooml_analysis_stored_at ON cuckooml_analysis (stored_at);
CREATE INDEX ix_cuckooml_analysis_digest ON cuckooml_analysis (digest);
CREATE INDEX ix_cuckooml_label_family ON cuckooml_label (family);
CREATE INDEX ix_cuckooml_finding_cluster ON cuckooml_finding (cluster, probability);
CREATE INDEX ix_cuckooml_finding_anomalous ON cuckooml_finding (anomalous, anomaly_score);
COMMIT;
