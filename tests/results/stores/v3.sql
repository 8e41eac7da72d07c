-- A store of version 3, as that version's program wrote it: text of a sampler, likelihoods, a tag. It never changes.
BEGIN TRANSACTION;
CREATE TABLE blob(sha256 TEXT PRIMARY KEY, enc TEXT NOT NULL CHECK(enc IN('raw','zstd')), data BLOB NOT NULL) STRICT;
INSERT INTO "blob" VALUES('21a23aa5cc65c8b1b43e2939ecee8bedb9741c6f498cf6330af82dab72fc04c7','raw',X'32203120322032');
INSERT INTO "blob" VALUES('0f38d5d071532ea892a9c035f0ce8dc86e78ebf72b75e7ac6df4755c98a852ff','raw',X'30203020322030');
INSERT INTO "blob" VALUES('a8e233f0ddf0932c16573506a1f8ee6867c0623dac1882d0bc9c4cd8ddb8112e','raw',X'30203120312032');
INSERT INTO "blob" VALUES('30ca31123a3b4e7b950a2462a1fb075d5f9b8431fe5e5c77cfca718b6cc94940','raw',X'7B22636F6E74657874223A302C226E6C6C223A342E3433383530333235343035323430382C22746F6B656E73223A347D');
INSERT INTO "blob" VALUES('4db88db4d4524d80dc7c496b180a225e5b6d6877786f77cee198f0ffa67b2346','raw',X'7B22636F6E74657874223A302C226E6C6C223A352E3034343835373532353236393036382C22746F6B656E73223A347D');
INSERT INTO "blob" VALUES('09fcfdfd49e0787e98b8f78ea552a32a61585f4a4b904d7d2855364cc44c22a1','raw',X'7B22636F6E74657874223A302C226E6C6C223A332E3536323639393637353039373038372C22746F6B656E73223A347D');
CREATE TABLE build(
  build_id TEXT PRIMARY KEY, git_commit TEXT, dirty INTEGER, compiler TEXT, flags TEXT, torch TEXT, cuda TEXT,
  numerics_epoch INTEGER NOT NULL, j TEXT NOT NULL CHECK(json_valid(j))) STRICT;
INSERT INTO "build" VALUES('d18bea68d972746ce19c0b9ed9ecb1259606b36fdf1d4a6d084f6458d2422e79','2516fefff740',0,'GNU 12.2.0','-O3','2.13.0',NULL,3,'{"compiler":"GNU 12.2.0","dirty":false,"flags":"-O3","git_commit":"2516fefff740","numerics_epoch":3,"torch":"2.13.0"}');
CREATE TABLE cache(key TEXT PRIMARY KEY, out_sha TEXT NOT NULL REFERENCES blob, meta TEXT, created_at TEXT) STRICT;
INSERT INTO "cache" VALUES('0bd645da168c3eda45df177384bb8ad32ab5431fde4ee5b8d075a4cf6652a394','30ca31123a3b4e7b950a2462a1fb075d5f9b8431fe5e5c77cfca718b6cc94940',NULL,'2026-11-28T10:25:03.881Z');
INSERT INTO "cache" VALUES('240e8c10e1effe4db808ec8fabc53d955ca12fabd59410417d51a4d1631c5663','4db88db4d4524d80dc7c496b180a225e5b6d6877786f77cee198f0ffa67b2346',NULL,'2026-11-28T10:25:03.881Z');
INSERT INTO "cache" VALUES('78a84a11ee557fa28395609262dd3a605fa552581fb719d82ceffced2442c75b','09fcfdfd49e0787e98b8f78ea552a32a61585f4a4b904d7d2855364cc44c22a1',NULL,'2026-11-28T10:25:03.881Z');
CREATE TABLE config(
  config_id TEXT PRIMARY KEY, j TEXT NOT NULL CHECK(json_valid(j)),
  sampler TEXT GENERATED ALWAYS AS (json_extract(j,'$.sampler.name')) VIRTUAL,
  steps INTEGER GENERATED ALWAYS AS (json_extract(j,'$.sampler.steps')) VIRTUAL,
  tokens_per_step REAL GENERATED ALWAYS AS (json_extract(j,'$.sampler.tokens_per_step')) VIRTUAL, block_size INTEGER
  GENERATED ALWAYS AS (coalesce(json_extract(j,'$.block_size'),json_extract(j,'$.sampler.block_size'))) VIRTUAL) STRICT;
INSERT INTO "config" VALUES('fb97b007532d2b1b9da165ec437b055a944aade5b5a560254d1dcb6e4939596d','{"answers":{"chat":"auto","exemplars":"","extractor":"","samples":1,"shots":-1,"turns":"exemplar"},"any_block_size":false,"batch_size":8,"block_size":0,"device":"cpu","dtype":"f32","estimator":{"target_ci":0.0},"limit":0,"linear_backend":"auto","metrics":["auto"],"model":"exact:tabular?v=3&l=4&seed=1","noise_convention":"auto","parameterization":"auto","quality":{"featurizer":"auto","judge":"auto","judge_convention":"clean","judge_stride":0,"judge_window":0,"mauve_buckets":0,"mauve_seeds":5,"reference":"auto"},"sampler":{"adjust":"","cache":true,"entropy_floor":0.0,"entropy_restarts":0,"eps":0.001,"factor":1.0,"filter_order":"top_k_first","guidance":1.0,"max_new_tokens":0,"name":"confidence","nucleus_p":1.0,"nucleus_rule":"keep","past_context":"stop","position_temperature":0.0,"published":"none","reveal_schedule":"exact","stale_keys":"none","steps":0,"stop_at":"auto","suppress_eos":"none","temperature":1.0,"threshold":0.9,"tokens_per_step":2,"top_k":0,"verifier":""},"seed":1,"task":"samples:documents=3&length=4","threads":0,"tokenizer":""}');
INSERT INTO "config" VALUES('f57aa0af3e6d7b31b9f2b45de1748826995917af5606b317c6bb802e10479bb9','{"any_block_size":false,"batch_size":8,"block_size":0,"detokenizer":"auto","device":"cpu","dtype":"f32","estimator":{"draws":0,"estimator":"auto","first_token":"auto","replicates":0,"reveal_order":"left_to_right","reveal_per_step":1,"schedule":"linear","strata":"rotated","strata_rows":0,"t_max":1.0,"t_min":-1.0,"target_ci":0.0},"limit":0,"linear_backend":"auto","metrics":["auto"],"model":"exact:markov?v=4&seed=1","noise_convention":"auto","parameterization":"auto","scoring":{"bos":"auto","chunk_ends":"auto","documents_per_group":0,"eos":"auto","length":0,"num_proc":1,"packing":"auto","preset":"none","remainder":"auto","special_ids":"auto","stride":0},"seed":1,"task":"draws:markov?v=4&seed=1&documents=2&length=4","threads":0,"tokenizer":""}');
CREATE TABLE curve(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, metric TEXT NOT NULL, step INTEGER NOT NULL,
  value REAL NOT NULL, PRIMARY KEY(run_id,metric,step)) STRICT, WITHOUT ROWID;
CREATE TABLE env(
  env_id TEXT PRIMARY KEY, host TEXT, machine TEXT, cpu TEXT, gpu TEXT, driver TEXT, os TEXT,
  j TEXT NOT NULL CHECK(json_valid(j))) STRICT;
INSERT INTO "env" VALUES('560be174fc3c7f21b14b658cb8f996457585b07438438a9021d04c7249d28851','host','x86_64','cpu',NULL,NULL,'os','{"cpu":"cpu","host":"host"}');
CREATE TABLE gate(
  gate_id TEXT PRIMARY KEY, base_run TEXT REFERENCES run, new_run TEXT REFERENCES run, metric TEXT, test TEXT,
  margin REAL, diff REAL, ci_lo REAL, ci_hi REAL, p REAL,
  verdict TEXT CHECK(verdict IN('same','better','worse','ambiguous','empty')), at TEXT) STRICT;
CREATE TABLE metric(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, metric TEXT NOT NULL REFERENCES metric_def,
  variant TEXT NOT NULL DEFAULT '', value REAL NOT NULL, se_data REAL, se_mc REAL, ci_lo REAL, ci_hi REAL,
  ci_method TEXT, n INTEGER, n_clusters INTEGER, est TEXT,
  PRIMARY KEY(run_id,metric,variant)) STRICT, WITHOUT ROWID;
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','decision_margin','least',3.88000040223002162775e-03,NULL,NULL,NULL,NULL,'',3,3,'minimum over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','distinct_n','1',5.8333333333333337034e-01,8.33333333333333425851e-02,NULL,2.24778939187544768429e-01,0.941887727479122,'t',3,3,'mean over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','distinct_n','2',1.0,0.0,NULL,1.0,1.0,'t',3,3,'mean over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','distinct_n','3',1.0,0.0,NULL,1.0,1.0,'t',3,3,'mean over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','frontier_integral','',3.46044226913035601889e-01,3.28577738020650100825e-01,6.40845480540799122826e-02,0.0,1.0,'normal, bootstrap of texts and seeds',3,3,'mean over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','frontier_integral','ceiling',1.0,0.0,0.0,1.0,1.0,'normal, bootstrap of texts and seeds',1,1,'mean over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','frontier_integral_star','',1.38682534488172165554e-01,1.47918214588252439067e-01,3.29478237090498823902e-02,0.0,4.35707308844056617758e-01,'normal, bootstrap of texts and seeds',3,3,'mean over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','frontier_integral_star','ceiling',2.4770741343153573899e-01,8.06931549712535e-16,0.0,2.47707413431534156922e-01,2.47707413431537321057e-01,'normal, bootstrap of texts and seeds',1,1,'mean over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','generative_perplexity','pooled',2.96587383147314032072e+00,0.318988950632027,0.0,1.86714033491000908071e+00,4.71116574354392536605e+00,'t on the log',3,3,'pooled or mean over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','generative_perplexity','sample mean',2.99990073519993494244e+00,0.315941790759913,0.0,1.64051292674486148825e+00,4.35928854365500839662e+00,'t',3,3,'pooled or mean over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','judge_nll_minus_entropy','',7.44426378150742085182e-02,1.0755310871520996907e-01,0.0,-3.88321038991464639877e-01,5.37206314621613056914e-01,'t over documents, linearised ratio',3,3,'mean over tokens');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','kl_to_joint','',1.93120941914678545536e-01,0.0,0.0,NULL,NULL,'',0,0,'enumerated');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','mauve','',2.79627306500858430204e-01,2.54016069747423300917e-01,9.73974037049162438828e-02,0.0,8.12842480283548773911e-01,'normal, bootstrap of texts and seeds',3,3,'mean over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','mauve','ceiling',4.07209626196125724917e-03,8.69538307879887e-19,0.0,4.07209626196125551444e-03,4.07209626196125898389e-03,'normal, bootstrap of texts and seeds',1,1,'mean over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','mauve_star','',6.7254330311110332996e-01,2.97827346097567557947e-01,0.0967331104568118,5.87833852227482855923e-02,1.0,'normal, bootstrap of texts and seeds',3,3,'mean over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','mauve_star','ceiling',3.8345848416813388404e-01,1.83646490624232119935e-15,0.0,3.83458484168130275815e-01,3.83458484168137492265e-01,'normal, bootstrap of texts and seeds',1,1,'mean over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','repetition','128 tokens',4.1666666666666668517e-01,8.33333333333333287074e-02,NULL,5.81122725208781387706e-02,7.7522106081245523157e-01,'t',3,3,'mean over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','repetition','4-gram',0.0,0.0,NULL,0.0,0.0,'t',3,3,'mean over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','sample_length','max',4.0,NULL,NULL,NULL,NULL,'',3,3,'mean, median, maximum over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','sample_length','mean',4.0,0.0,NULL,4.0,4.0,'t',3,3,'mean, median, maximum over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','sample_length','median',4.0,NULL,NULL,NULL,NULL,'',3,3,'mean, median, maximum over samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','sample_length_share','     4 to      7',1.0,NULL,NULL,4.38502968244954605125e-01,1.0,'Wilson',3,3,'share of samples');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','seed_deviation','frontier_integral',1.43297405756274559562e-01,NULL,NULL,NULL,NULL,'',5,5,'over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','seed_deviation','frontier_integral ceiling',0.0,NULL,NULL,NULL,NULL,'',5,5,'over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','seed_deviation','frontier_integral_star',0.0736735735241148,NULL,NULL,NULL,NULL,'',5,5,'over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','seed_deviation','frontier_integral_star ceiling',0.0,NULL,NULL,NULL,NULL,'',5,5,'over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','seed_deviation','mauve',2.17787215516182602881e-01,NULL,NULL,NULL,NULL,'',5,5,'over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','seed_deviation','mauve ceiling',0.0,NULL,NULL,NULL,NULL,'',5,5,'over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','seed_deviation','mauve_star',2.1630181065642692384e-01,NULL,NULL,NULL,NULL,'',5,5,'over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','seed_deviation','mauve_star ceiling',0.0,NULL,NULL,NULL,NULL,'',5,5,'over quantisations');
INSERT INTO "metric" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','unigram_entropy','',7.21463686692511374509e-01,1.59128542073703194148e-01,NULL,3.6788830758040069746e-02,1.40613854262698279029e+00,'t',3,3,'mean over samples');
INSERT INTO "metric" VALUES('01M8GTZRFF8DCYWXJFX9KG3EXY','entropy','',1.16606960855051622338e+00,0.0,0.0,NULL,NULL,'',2,0,'closed form');
INSERT INTO "metric" VALUES('01M8GTZRFF8DCYWXJFX9KG3EXY','nll','',1.10479177245808468654e+00,1.30016753530394879589e-01,0.0,-5.47227717031876670361e-01,2.7568112619480462655e+00,'t over documents, linearised ratio',2,2,'ratio of sums');
INSERT INTO "metric" VALUES('01M8GTZRFF8DCYWXJFX9KG3EXY','nll_minus_entropy','',-6.12778360924315368407e-02,1.30016753530394879589e-01,0.0,-1.71329732558239289375e+00,1.59074165339753,'t over documents, linearised ratio',2,2,'ratio of sums');
INSERT INTO "metric" VALUES('01M8GTZRFF8DCYWXJFX9KG3EXY','perplexity','',3.01859584856723328627e+00,3.92468032451039172681e-01,0.0,0.578551497652618,1.5749541629323452696e+01,'t over documents, linearised ratio, exp of the log',2,2,'exp of a ratio of sums');
CREATE TABLE metric_def(
  metric TEXT PRIMARY KEY, unit TEXT, better TEXT CHECK(better IN('hi','lo','none')), doc TEXT) STRICT;
INSERT INTO "metric_def" VALUES('decision_margin','1','none','how close the sampler''s closest decision was: a rounding error of that size could have changed a text');
INSERT INTO "metric_def" VALUES('distinct_n','1','hi','distinct n-grams of a sample over its n-grams');
INSERT INTO "metric_def" VALUES('frontier_integral','1','lo','integral of the divergence frontier');
INSERT INTO "metric_def" VALUES('frontier_integral_star','1','lo','frontier_integral of the smoothed histograms');
INSERT INTO "metric_def" VALUES('generative_perplexity','1','lo','perplexity of the samples under a judge; pooled: exp of the nll over all tokens; sample mean: mean of each sample''s own');
INSERT INTO "metric_def" VALUES('judge_nll_minus_entropy','nats/token','none','nll of the samples under the judge''s exact law, less its entropy: what text of that law would score; below 0 the text is too predictable');
INSERT INTO "metric_def" VALUES('kl_to_joint','nats','lo','KL(joint law of a whole text || law of the sampler''s output)');
INSERT INTO "metric_def" VALUES('mauve','1','hi','area under the divergence curve of two quantised sets');
INSERT INTO "metric_def" VALUES('mauve_star','1','hi','mauve of histograms smoothed by half a count a bin');
INSERT INTO "metric_def" VALUES('repetition','1','lo','4-gram: share of a sample''s 4-grams that repeat an earlier one; 128 tokens: share of its tokens that occur among the 128 before');
INSERT INTO "metric_def" VALUES('sample_length','tokens','none','tokens of a sample, special ones not counted');
INSERT INTO "metric_def" VALUES('sample_length_share','1','none','samples with a length in the range of tokens');
INSERT INTO "metric_def" VALUES('seed_deviation','1','none','standard deviation of a score between seeds of the quantisation');
INSERT INTO "metric_def" VALUES('unigram_entropy','nats','none','entropy of the frequencies of a sample''s own tokens');
INSERT INTO "metric_def" VALUES('entropy','nats/token','none','entropy of the source: what its exact model scores');
INSERT INTO "metric_def" VALUES('nll','nats/token','lo','negative log-likelihood over scored tokens, special ones included');
INSERT INTO "metric_def" VALUES('nll_minus_entropy','nats/token','none','measured nll minus the source''s entropy');
INSERT INTO "metric_def" VALUES('perplexity','1','lo','exp(nll)');
CREATE TABLE model(
  model_id TEXT PRIMARY KEY, name TEXT NOT NULL, family TEXT NOT NULL, params INTEGER, dtype TEXT,
  weights_sha256 TEXT NOT NULL, tokenizer_sha256 TEXT, config_json TEXT CHECK(json_valid(config_json))) STRICT;
INSERT INTO "model" VALUES('1afdac5f7b70ebc88dd170bf30aa6d0109578339e758e8f0273ce6f97676ae02','exact:tabular?v=3&l=4&seed=1&concentration=1','tabular',80,'f64','b95ad496bb5b9fd71a71c6e44daba3242478592ee0dd371bd92f64239bd0f728',NULL,'{"world":"exact:tabular?v=3&l=4&seed=1&concentration=1"}');
INSERT INTO "model" VALUES('54895dedc1474c0439d463f2cff1b11de6e01f9447ae991f4461c9c7ce04b3b8','exact:markov?v=4&seed=1&concentration=1','markov',12,'f64','994846cc38a28d3a581cc91b71544cd5d25e52da8d02ec9285e26be2e10828fb',NULL,'{"world":"exact:markov?v=4&seed=1&concentration=1"}');
CREATE TABLE paper_cell(
  paper TEXT, tbl TEXT, row TEXT, col TEXT, claimed REAL, digits INTEGER, n_claimed INTEGER, tol_class TEXT,
  tol REAL, run_id TEXT REFERENCES run, verdict TEXT, PRIMARY KEY(paper,tbl,row,col)) STRICT;
CREATE TABLE run(
  run_id TEXT PRIMARY KEY,
  sweep_id TEXT REFERENCES sweep,
  model_id TEXT NOT NULL REFERENCES model,
  task_id TEXT NOT NULL REFERENCES task,
  config_id TEXT NOT NULL REFERENCES config,
  env_id TEXT NOT NULL REFERENCES env,
  build_id TEXT NOT NULL REFERENCES build,
  run_key TEXT NOT NULL,
  identity_json TEXT NOT NULL CHECK(json_valid(identity_json)),
  seed INTEGER NOT NULL,
  status TEXT NOT NULL CHECK(status IN('running','done','failed','partial')),
  smoke INTEGER NOT NULL DEFAULT 0,
  started_at TEXT NOT NULL, ended_at TEXT,
  cmdline TEXT, error TEXT, owner TEXT,
  resumes INTEGER NOT NULL DEFAULT 0,
  superseded_by TEXT REFERENCES run DEFERRABLE INITIALLY DEFERRED,
  wall_ns INTEGER, load_ns INTEGER, peak_rss_bytes INTEGER, threads INTEGER, stored_rows INTEGER) STRICT;
INSERT INTO "run" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT',NULL,'1afdac5f7b70ebc88dd170bf30aa6d0109578339e758e8f0273ce6f97676ae02','402bb164ee391d6d92f727df8f0b38c3baec923fcd9d0b03fb3e504cae91b3ad','fb97b007532d2b1b9da165ec437b055a944aade5b5a560254d1dcb6e4939596d','560be174fc3c7f21b14b658cb8f996457585b07438438a9021d04c7249d28851','d18bea68d972746ce19c0b9ed9ecb1259606b36fdf1d4a6d084f6458d2422e79','728d7328f5c5fbc0bb521c559cc66a637cc33fa10a7f08e7cba6855369f8037f','{"data":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","featurizer":"ids:positions","judge":{"convention":"clean","dtype":"f64","eos_id":-1,"judge_config":"f3cd3b27b08e1f7b02aef7e47e9257ff3152c832f82dfce0d9e21151163457f4","judge_weights":"b95ad496bb5b9fd71a71c6e44daba3242478592ee0dd371bd92f64239bd0f728","scores_first":true,"stride":2,"window":4},"numerics":3,"reference":"69e4465746aad021f99cc12a25bceb477a0d8c871f9550968f4dae96414a9ad7","settings":{"answers":{"chat":"auto","extractor":"","samples":1,"shots":-1,"turns":"exemplar"},"any_block_size":false,"batch_size":8,"block_size":0,"device":"cpu","dtype":"f32","estimator":{"target_ci":0.0},"limit":0,"linear_backend":"auto","noise_convention":"auto","parameterization":"auto","quality":{"judge_convention":"clean","judge_stride":0,"judge_window":0,"mauve_buckets":0,"mauve_seeds":5},"sampler":{"cache":true,"entropy_floor":0.0,"entropy_restarts":0,"eps":0.001,"factor":1.0,"filter_order":"top_k_first","guidance":1.0,"max_new_tokens":0,"name":"confidence","nucleus_p":1.0,"nucleus_rule":"keep","past_context":"stop","position_temperature":0.0,"published":"none","reveal_schedule":"exact","stale_keys":"none","steps":0,"stop_at":"auto","suppress_eos":"none","temperature":1.0,"threshold":0.9,"tokens_per_step":2,"top_k":0},"seed":1},"task":"samples:documents=3&length=4","task_version":1,"tokenizer":"","weights":"b95ad496bb5b9fd71a71c6e44daba3242478592ee0dd371bd92f64239bd0f728"}',1,'done',0,'2026-11-28T10:25:03.880Z','2026-11-28T10:25:03.898Z','dlmbench run --model ''exact:tabular?v=3&l=4&seed=1'' --task ''samples:documents=3&length=4'' --sampler confidence --tokens-per-step 2',NULL,NULL,0,NULL,17367003,1265248,133648384,2,3);
INSERT INTO "run" VALUES('01M8GTZRFF8DCYWXJFX9KG3EXY',NULL,'54895dedc1474c0439d463f2cff1b11de6e01f9447ae991f4461c9c7ce04b3b8','f4636d9ec9815c89addb0fc92b4963e4cecc471173f9c4cb3b51b33f85014e52','f57aa0af3e6d7b31b9f2b45de1748826995917af5606b317c6bb802e10479bb9','560be174fc3c7f21b14b658cb8f996457585b07438438a9021d04c7249d28851','d18bea68d972746ce19c0b9ed9ecb1259606b36fdf1d4a6d084f6458d2422e79','6243edb22b3abb65668160ecdf6a0e0462de165e156742a8762355905f9a8652','{"data":"f2901bc63b3b5ef818cddc7052ff5387ac7c15499de5559514e1e06e89475ae1","numerics":3,"settings":{"any_block_size":false,"batch_size":8,"block_size":0,"detokenizer":"auto","device":"cpu","dtype":"f32","estimator":{"draws":0,"estimator":"auto","first_token":"auto","replicates":0,"reveal_order":"left_to_right","reveal_per_step":1,"schedule":"linear","strata":"rotated","strata_rows":0,"t_max":1.0,"t_min":-1.0,"target_ci":0.0},"limit":0,"linear_backend":"auto","noise_convention":"auto","parameterization":"auto","scoring":{"bos":"auto","chunk_ends":"auto","documents_per_group":0,"eos":"auto","length":0,"num_proc":1,"packing":"auto","preset":"none","remainder":"auto","special_ids":"auto","stride":0},"seed":1},"task":"draws:markov?v=4&seed=1&concentration=1&length=4&documents=2","task_version":1,"tokenizer":"","weights":"994846cc38a28d3a581cc91b71544cd5d25e52da8d02ec9285e26be2e10828fb"}',1,'done',0,'2026-11-28T10:25:04.495Z','2026-11-28T10:25:04.504Z','dlmbench run --model ''exact:markov?v=4&seed=1'' --task ''draws:markov?v=4&seed=1&documents=2&length=4''',NULL,NULL,0,NULL,713884,70711,122540032,2,2);
CREATE TABLE sample(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, doc_id TEXT NOT NULL, rep INTEGER NOT NULL,
  doc_sha TEXT NOT NULL, cluster TEXT, out_sha TEXT REFERENCES blob,
  score REAL, nll REAL, nll_m2 REAL, n_mc INTEGER,
  n_tok INTEGER, n_bytes INTEGER, n_words INTEGER,
  prompt_tok INTEGER, canvas_tok INTEGER, kept_tok INTEGER, special_tok INTEGER,
  nfe INTEGER, positions INTEGER, head_rows INTEGER, cached_positions INTEGER, flops REAL,
  wall_ns INTEGER, exec_status TEXT, cache_hit INTEGER, margin REAL,
  PRIMARY KEY(run_id,doc_id,rep)) STRICT, WITHOUT ROWID;
INSERT INTO "sample" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','000000',0,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',NULL,'21a23aa5cc65c8b1b43e2939ecee8bedb9741c6f498cf6330af82dab72fc04c7',NULL,0.0,0.0,0,0,0,0,0,4,4,0,2,8,6,0,0.0,7697,NULL,NULL,1.43621842830220503017e-02);
INSERT INTO "sample" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','000001',0,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',NULL,'0f38d5d071532ea892a9c035f0ce8dc86e78ebf72b75e7ac6df4755c98a852ff',NULL,0.0,0.0,0,0,0,0,0,4,4,0,2,8,6,0,0.0,7697,NULL,NULL,1.43621842830220503017e-02);
INSERT INTO "sample" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT','000002',0,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',NULL,'a8e233f0ddf0932c16573506a1f8ee6867c0623dac1882d0bc9c4cd8ddb8112e',NULL,0.0,0.0,0,0,0,0,0,4,4,0,2,8,6,0,0.0,7698,NULL,NULL,3.88000040223002162775e-03);
INSERT INTO "sample" VALUES('01M8GTZRFF8DCYWXJFX9KG3EXY','000000',0,'466cfdb0881b781be3539ae339b6f94647c7543c20714720b406b0cdf08f08fd',NULL,NULL,NULL,3.89910007571075922783e+00,0.0,0,4,0,0,0,NULL,NULL,0,1,4,4,0,0.0,3460,NULL,NULL,NULL);
INSERT INTO "sample" VALUES('01M8GTZRFF8DCYWXJFX9KG3EXY','000001',0,'7b0a91667ad8d58a00256b3e213b31e2ba8604b9db04b58e6fe5c8f1e693acfc',NULL,NULL,NULL,4.93923410395391826455e+00,0.0,0,4,0,0,0,NULL,NULL,0,1,4,4,0,0.0,3460,NULL,NULL,NULL);
CREATE TABLE sweep(sweep_id TEXT PRIMARY KEY, name TEXT, spec_json TEXT NOT NULL) STRICT;
CREATE TABLE tag(
  name TEXT NOT NULL, run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, at TEXT NOT NULL,
  PRIMARY KEY(name,run_id)) STRICT, WITHOUT ROWID;
INSERT INTO "tag" VALUES('base','01M8GTZQW8G9H0JFSGWZXVS9KT','2026-11-28T10:25:05.163Z');
INSERT INTO "tag" VALUES('base','01M8GTZRFF8DCYWXJFX9KG3EXY','2026-11-28T10:25:05.163Z');
CREATE TABLE task(
  task_id TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,
  data_sha256 TEXT NOT NULL, prompt_sha256 TEXT, n_docs INTEGER,
  config_json TEXT CHECK(json_valid(config_json))) STRICT;
INSERT INTO "task" VALUES('402bb164ee391d6d92f727df8f0b38c3baec923fcd9d0b03fb3e504cae91b3ad','samples:documents=3&length=4',1,'samples','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',NULL,3,'{"prompt":"","stop_ids":[]}');
INSERT INTO "task" VALUES('f4636d9ec9815c89addb0fc92b4963e4cecc471173f9c4cb3b51b33f85014e52','draws:markov?v=4&seed=1&concentration=1&length=4&documents=2',1,'draws','f2901bc63b3b5ef818cddc7052ff5387ac7c15499de5559514e1e06e89475ae1',NULL,2,'{"counts":{"documents":2,"dropped_documents":0,"dropped_special_tokens":0,"dropped_tokens":0,"empty_documents":0,"skipped_units":0,"special_tokens":0,"tokens":8,"units":2},"preparation":{"bos":null,"first_token":"scored","length":5,"packing":"document","preset":"none","stride":2},"seed":1}');
CREATE TABLE timing(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, rep INTEGER NOT NULL, phase TEXT NOT NULL,
  ns INTEGER NOT NULL, kept_tok INTEGER, nfe INTEGER, clock_mhz INTEGER, throttled INTEGER,
  PRIMARY KEY(run_id,rep,phase)) STRICT, WITHOUT ROWID;
INSERT INTO "timing" VALUES('01M8GTZQW8G9H0JFSGWZXVS9KT',0,'total',23092,12,6,NULL,NULL);
INSERT INTO "timing" VALUES('01M8GTZRFF8DCYWXJFX9KG3EXY',0,'total',6920,8,2,NULL,NULL);
CREATE UNIQUE INDEX run_by_key ON run(run_key) WHERE status<>'failed' AND superseded_by IS NULL;
CREATE INDEX run_by_parts ON run(model_id,task_id,config_id,seed);
CREATE VIEW v_pair AS
  SELECT a.run_id AS base, b.run_id AS new, a.doc_id, a.rep, a.cluster, b.score-a.score AS d_score, b.nll-a.nll AS d_nll
  FROM sample a JOIN sample b USING(doc_id,rep)
  WHERE a.doc_sha=b.doc_sha AND a.run_id<>b.run_id;
CREATE VIEW v_speed AS
  SELECT run_id, n_rows, tok, canvas_tok, prompt_tok, special_tok, nfe, positions, head_rows, cached_positions, flops, wall_ns,
         tok*1e9/nullif(wall_ns,0) AS tokens_per_second_accepted,
         canvas_tok*1e9/nullif(wall_ns,0) AS tokens_per_second_canvas,
         tok*1.0/nullif(nfe,0) AS tokens_per_forward,
         flops*1e9/nullif(wall_ns,0) AS flops_per_second
  FROM (SELECT run_id, count(*) AS n_rows, sum(coalesce(kept_tok,n_tok)) AS tok, sum(canvas_tok) AS canvas_tok,
               sum(prompt_tok) AS prompt_tok, sum(special_tok) AS special_tok, sum(nfe) AS nfe,
               sum(positions) AS positions, sum(head_rows) AS head_rows, sum(cached_positions) AS cached_positions,
               sum(flops) AS flops, sum(wall_ns) AS wall_ns
        FROM sample GROUP BY run_id);
CREATE INDEX config_by_block ON config(block_size,steps);
CREATE VIEW v_run AS
  SELECT r.*, m.name AS model, m.family, m.params, m.dtype, m.weights_sha256, m.tokenizer_sha256,
         t.name AS task, t.version AS task_version, t.kind AS task_kind, t.data_sha256, t.n_docs,
         c.j AS spec_json, c.sampler, c.block_size, c.steps, c.tokens_per_step,
         b.git_commit, b.dirty, b.torch, b.numerics_epoch, e.host, e.cpu, e.gpu
  FROM run r JOIN model m USING(model_id) JOIN task t USING(task_id) JOIN config c USING(config_id)
       JOIN build b USING(build_id) JOIN env e USING(env_id);
CREATE VIEW v_result AS
  SELECT v.model, v.task, v.sampler, v.block_size, v.tokens_per_step, v.steps, v.seed, m.metric, m.variant, d.unit, d.better,
         m.value, m.se_data, m.se_mc, m.ci_lo, m.ci_hi, m.n, m.est, v.status, v.smoke, v.git_commit, v.cpu, v.gpu,
         v.started_at, v.cmdline, m.run_id
  FROM metric m JOIN metric_def d USING(metric) JOIN v_run v USING(run_id)
  WHERE v.superseded_by IS NULL;
CREATE VIEW v_gate AS
  SELECT g.at, n.model, n.task, g.metric, g.verdict, g.diff, g.ci_lo, g.ci_hi, g.margin, g.p, g.test,
         b.git_commit AS base_commit, n.git_commit AS new_commit, g.base_run, g.new_run, g.gate_id
  FROM gate g LEFT JOIN v_run b ON b.run_id=g.base_run JOIN v_run n ON n.run_id=g.new_run
  ORDER BY g.at DESC, g.gate_id, g.metric;
CREATE VIEW v_curve AS
  SELECT v.model, v.task, c.metric, c.step, c.value, v.weights_sha256, c.run_id
  FROM curve c JOIN v_run v USING(run_id)
  WHERE v.superseded_by IS NULL;
CREATE VIEW v_config AS SELECT config_id, json_extract(j,'$."model"') AS "model", json_extract(j,'$."dtype"') AS "dtype", json_extract(j,'$."device"') AS "device", json_extract(j,'$."linear_backend"') AS "linear_backend", json_extract(j,'$."tokenizer"') AS "tokenizer", json_extract(j,'$."parameterization"') AS "parameterization", json_extract(j,'$."noise_convention"') AS "noise_convention", json_extract(j,'$."any_block_size"') AS "any_block_size", json_extract(j,'$."batch_size"') AS "batch_size", json_extract(j,'$."seed"') AS "seed", json_extract(j,'$."threads"') AS "threads", json_extract(j,'$."block_size"') AS "block_size", json_extract(j,'$."task"') AS "task", json_extract(j,'$."metrics"') AS "metrics", json_extract(j,'$."limit"') AS "limit", json_extract(j,'$."detokenizer"') AS "detokenizer", json_extract(j,'$."scoring"."preset"') AS "preset", json_extract(j,'$."scoring"."packing"') AS "packing", json_extract(j,'$."scoring"."length"') AS "length", json_extract(j,'$."scoring"."stride"') AS "stride", json_extract(j,'$."scoring"."bos"') AS "bos", json_extract(j,'$."scoring"."eos"') AS "eos", json_extract(j,'$."scoring"."chunk_ends"') AS "chunk_ends", json_extract(j,'$."scoring"."remainder"') AS "remainder", json_extract(j,'$."scoring"."documents_per_group"') AS "documents_per_group", json_extract(j,'$."scoring"."num_proc"') AS "num_proc", json_extract(j,'$."scoring"."special_ids"') AS "special_ids", json_extract(j,'$."estimator"."estimator"') AS "estimator", json_extract(j,'$."estimator"."draws"') AS "draws", json_extract(j,'$."estimator"."replicates"') AS "replicates", json_extract(j,'$."estimator"."t_min"') AS "t_min", json_extract(j,'$."estimator"."t_max"') AS "t_max", json_extract(j,'$."estimator"."first_token"') AS "first_token", json_extract(j,'$."estimator"."strata"') AS "strata", json_extract(j,'$."estimator"."strata_rows"') AS "strata_rows", json_extract(j,'$."estimator"."schedule"') AS "schedule", json_extract(j,'$."estimator"."reveal_order"') AS "reveal_order", json_extract(j,'$."estimator"."reveal_per_step"') AS "reveal_per_step", json_extract(j,'$."estimator"."target_ci"') AS "target_ci", json_extract(j,'$."sampler"."name"') AS "name", json_extract(j,'$."sampler"."steps"') AS "steps", json_extract(j,'$."sampler"."tokens_per_step"') AS "tokens_per_step", json_extract(j,'$."sampler"."threshold"') AS "threshold", json_extract(j,'$."sampler"."stop_at"') AS "stop_at", json_extract(j,'$."sampler"."entropy_floor"') AS "entropy_floor", json_extract(j,'$."sampler"."entropy_restarts"') AS "entropy_restarts", json_extract(j,'$."sampler"."past_context"') AS "past_context", json_extract(j,'$."sampler"."max_new_tokens"') AS "max_new_tokens", json_extract(j,'$."sampler"."temperature"') AS "temperature", json_extract(j,'$."sampler"."top_k"') AS "top_k", json_extract(j,'$."sampler"."nucleus_p"') AS "nucleus_p", json_extract(j,'$."sampler"."nucleus_rule"') AS "nucleus_rule", json_extract(j,'$."sampler"."cache"') AS "cache", json_extract(j,'$."sampler"."published"') AS "published", json_extract(j,'$."sampler"."reveal_schedule"') AS "reveal_schedule", json_extract(j,'$."sampler"."eps"') AS "eps", json_extract(j,'$."sampler"."position_temperature"') AS "position_temperature", json_extract(j,'$."sampler"."factor"') AS "factor", json_extract(j,'$."sampler"."guidance"') AS "guidance", json_extract(j,'$."sampler"."suppress_eos"') AS "suppress_eos", json_extract(j,'$."sampler"."stale_keys"') AS "stale_keys", json_extract(j,'$."sampler"."verifier"') AS "verifier", json_extract(j,'$."sampler"."adjust"') AS "adjust", json_extract(j,'$."sampler"."filter_order"') AS "filter_order", json_extract(j,'$."quality"."judge"') AS "judge", json_extract(j,'$."quality"."judge_convention"') AS "judge_convention", json_extract(j,'$."quality"."judge_window"') AS "judge_window", json_extract(j,'$."quality"."judge_stride"') AS "judge_stride", json_extract(j,'$."quality"."reference"') AS "reference", json_extract(j,'$."quality"."featurizer"') AS "featurizer", json_extract(j,'$."quality"."mauve_seeds"') AS "mauve_seeds", json_extract(j,'$."quality"."mauve_buckets"') AS "mauve_buckets", json_extract(j,'$."answers"."shots"') AS "shots", json_extract(j,'$."answers"."exemplars"') AS "exemplars", json_extract(j,'$."answers"."chat"') AS "chat", json_extract(j,'$."answers"."turns"') AS "turns", json_extract(j,'$."answers"."samples"') AS "samples", json_extract(j,'$."answers"."extractor"') AS "extractor" FROM config;
COMMIT;
PRAGMA application_id=1111769677;
PRAGMA user_version=3;
